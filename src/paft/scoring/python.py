"""Scorers of the user's own: a class, or a function of TRL's reward form."""

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from paft.errors import LineError, UserError, WorkError
from paft.types import Example, Score
from paft.utils.plugins import describe, keywords, required, source_file, user_code

if TYPE_CHECKING:
    from paft.tasks.task import Task

KEY = "task.scorer"
_COLUMNS = ("completions", "target", "targets", "options")
"""What a reward function is called with beside the example's fields."""
_OPTIONAL = (
    "check_target", "comparison_key",
    "keep_in", "announce", "prepare", "describe", "agreement", "summary",
)  # fmt: skip
"""The methods of the optional protocols of a scorer: TargetChecker, NormalisingScorer and PaidScorer."""


class _UnexpectedError(Exception):
    """A function returned something else than what it must."""


class FunctionScorer:
    """A reward function as TRL takes them: ``f(completions, **columns) -> list[float]``.

    It is called with lists of one element: the output as ``completions``, each field of the example under its own
    name, the right answer as ``target``, every accepted answer as ``targets``, and the list of the example's
    options as ``options``. A function without ``**kwargs`` gets only those that it takes. Set
    ``f.is_binary = True`` where every value is 0 or 1.
    """

    def __init__(self, function: Callable[..., Any], name: str, task: "Task"):
        self.function, self.name, self.task = function, name, task
        self.is_binary = bool(getattr(function, "is_binary", False))
        self._takes = keywords(function)
        if clash := [field for field in task.fields if field in _COLUMNS]:
            raise UserError(
                f"config key task.fields: {clash[0]!r} is what a scorer function gets as {clash[0]}; "
                "rename the slot, or write a class"
            )
        known = {*_COLUMNS, *task.fields}
        if lacking := [name for name in required(function) if name not in known]:
            raise UserError(
                f"config key {KEY}: {name!r} needs the argument {lacking[0]!r}; paft passes "
                f"{', '.join([*_COLUMNS, *task.fields])}"
            )

    def score(self, output: str, example: Example) -> Score:
        """Return the function's value; the answer is the whole output, None if it is empty and scores 0."""
        columns: dict[str, list[Any]] = {name: [value] for name, value in example.fields.items()}
        targets = self.task.targets(example)
        columns |= {
            "completions": [output],
            "target": [targets[0]],
            "targets": [list(targets)],
            "options": [list(example.options)],
        }
        values = self.function(**{k: v for k, v in columns.items() if self._takes is None or k in self._takes})
        try:
            [value] = values
        except (TypeError, ValueError):
            raise _UnexpectedError(f"{values!r}, expected a list of one number") from None
        answer = output.strip()
        return Score(value, answer if answer or value else None)


class CheckedScorer:
    """A scorer of the user's own: what it returns is checked, and what it raises becomes one line.

    Of the optional methods of a scorer it has those that the user's has.

    Args:
        part: the class or function that it was made of, named in messages.
    """

    def __init__(self, scorer: Any, name: str, part: Any):
        for attribute in ("score", "is_binary"):
            if not hasattr(scorer, attribute):
                raise UserError(
                    f"config key {KEY}: {name!r} has no {attribute!r}; a scorer has score(output, example) and "
                    "is_binary (True where every value is 0 or 1)"
                )
        self.name = str(getattr(scorer, "name", name))
        self.is_binary = bool(scorer.is_binary)
        self._scorer, self._label, self._file = scorer, f"scorer {name!r}", source_file(part)
        for method in _OPTIONAL:
            if hasattr(scorer, method):
                setattr(self, method, user_code(self._label)(getattr(scorer, method)))

    def score(self, output: str, example: Example) -> Score:
        """Return the checked score.

        Raises:
            WorkError: the user's code raised, or returned something else than a score.
        """
        again = "fix it and run the same command again to resume"
        try:
            with user_code(f"{self._label}, example {example.id},"):
                score = self._scorer.score(output, example)
            problem = self._problem(score)
        except _UnexpectedError as error:
            problem = str(error)
        except LineError:
            raise
        except Exception as error:  # raised where the user's code is called, such as for its arguments
            raise WorkError(
                f"{self._label}, example {example.id}, failed: {describe(error)} ({self._file}); {again}"
            ) from error
        if problem:
            raise WorkError(
                f"{self._label} ({self._file}) returned {problem}, for the example {example.id}; {again}"
            )
        return Score(float(score.value), score.answer, str(score.explanation))

    def _problem(self, score: Any) -> str:
        """Return what is wrong with a score; nothing for a sound one."""
        if not isinstance(score, Score):
            return f"{score!r}, expected a paft.types.Score"
        if not isinstance(score.value, numbers.Real) or not 0 <= score.value <= 1:
            return f"the value {score.value!r}, expected a number from 0 to 1"
        if self.is_binary and score.value not in (0, 1):
            return f"the value {score.value!r}, expected 0 or 1 because is_binary is True"
        if score.answer is None and score.value:
            return f"the value {score.value!r} without an answer; an output that cannot be read has the value 0"
        if score.answer is not None and not isinstance(score.answer, str):
            return f"the answer {score.answer!r}, expected text or None"
        return ""
