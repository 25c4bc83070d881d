"""The scorers by name, and scorers of the user's own."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from paft.errors import UserError, WorkError
from paft.scoring import Scorer
from paft.tasks.task import Task
from paft.types import Example, Score
from paft.utils.plugins import Registry, create, keywords, source_file, user_code

SCORERS = Registry("scorer", {"choice": "paft.scoring.choice:ChoiceScorer"})
KEY = "task.scorer"
_COLUMNS = ("completions", "target", "options")
"""What a reward function is called with beside the example's fields."""


def make_scorer(setting: str | Mapping[str, Any] | None, task: Task) -> Scorer:
    """Return the scorer that the config key ``task.scorer`` names.

    Args:
        setting: a name, ``{name: NAME, other settings}``, or None for ``choice``. A scorer of the user's own is
            named ``module:name``: a class that is created with the settings, and with the task where its
            constructor takes ``task``; or a function of TRL's reward form (:class:`FunctionScorer`).

    Raises:
        UserError: there is no such scorer, or it refuses its settings.
    """
    settings = {"name": setting or "choice"} if setting is None or isinstance(setting, str) else dict(setting)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"config key {KEY}: a scorer's name is missing; write {{name: NAME, ...its settings}}")
    part = SCORERS.get(name, KEY)
    if not inspect.isclass(part):
        if not callable(part):
            raise UserError(f"config key {KEY}: {name!r} is {type(part).__name__}, expected a class or a function")
        if settings:
            raise UserError(
                f"config key {KEY}.{next(iter(settings))}: {name!r} is a function, which takes no settings; "
                "write a class that does"
            )
        return CheckedScorer(FunctionScorer(part, name, task), name, part)
    scorer = create(part, settings, KEY, **({"task": task} if _takes_task(part) else {}))
    return scorer if name in SCORERS.names else CheckedScorer(scorer, name, part)


def _takes_task(part: type) -> bool:
    try:
        return "task" in inspect.signature(part).parameters
    except ValueError:  # a class that is not written in Python
        return False


class _UnexpectedError(Exception):
    """A function returned something else than what it must."""


class FunctionScorer:
    """A reward function as TRL takes them: ``f(completions, **columns) -> list[float]``.

    It is called with lists of one element: the output as ``completions``, each field of the example under its own
    name, the right answer as ``target``, and the list of the example's options as ``options``. A function without
    ``**kwargs`` gets only those that it takes. Set ``f.is_binary = True`` where every value is 0 or 1.
    """

    def __init__(self, function: Callable[..., Any], name: str, task: Task):
        self.function, self.name, self.task = function, name, task
        self.is_binary = bool(getattr(function, "is_binary", False))
        self._takes = keywords(function)
        if clash := [field for field in task.fields if field in _COLUMNS]:
            raise UserError(
                f"config key task.fields: {clash[0]!r} is what a scorer function gets as {clash[0]}; "
                "rename the column, or write a class"
            )

    def score(self, output: str, example: Example) -> Score:
        """Return the function's value; the answer is the whole output, None if it is empty and scores 0."""
        columns: dict[str, list[Any]] = {name: [value] for name, value in example.fields.items()}
        columns |= {
            "completions": [output],
            "target": [self.task.target(example)],
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

    def score(self, output: str, example: Example) -> Score:
        """Return the checked score.

        Raises:
            WorkError: the user's code raised, or returned something else than a score.
        """
        try:
            with user_code(self._label):
                score = self._scorer.score(output, example)
            problem = self._problem(score)
        except _UnexpectedError as error:
            problem = str(error)
        if problem:
            raise WorkError(
                f"{self._label} ({self._file}) returned {problem}, for the example {example.id}; "
                "fix it and run the same command again to resume"
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
