"""The scorers by name, and scorers of the user's own."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from paft.errors import UserError, WorkError
from paft.scoring import Scorer
from paft.scoring.answer_format import TextAnswers
from paft.types import Example, Score
from paft.utils.plugins import Registry, create, keywords, part_setting, source_file, user_code

if TYPE_CHECKING:
    from paft.tasks.task import Task

SCORERS = Registry(
    "scorer",
    {
        "choice": "paft.scoring.choice:ChoiceScorer",
        "exact": "paft.scoring.exact:ExactScorer",
        "includes": "paft.scoring.includes:IncludesScorer",
        "number": "paft.scoring.number:NumberScorer",
        "math": "paft.scoring.math:MathScorer",
        "f1": "paft.scoring.f1:F1Scorer",
        "rouge": "paft.scoring.rouge:RougeScorer",
        "chrf": "paft.scoring.chrf:ChrfScorer",
        "regex": "paft.scoring.regex:RegexScorer",
    },
)
KEY = "task.scorer"
DEFAULT_TEXT = "exact"
"""The scorer of a free-text task that names none."""
_COLUMNS = ("completions", "target", "options")
"""What a reward function is called with beside the example's fields."""


def text_answers(setting: Any) -> TextAnswers:
    """Return how an answer in free text is written, as the first scorer of ``task.scorer`` wants it.

    Raises:
        UserError: there is no such scorer.
    """
    setting = setting[0] if isinstance(setting, list) and setting else setting
    name, _ = part_setting(setting or DEFAULT_TEXT, KEY)
    part = SCORERS.get(name, KEY)
    wanted = getattr(part, "wanted", TextAnswers.wanted)
    return TextAnswers(wanted, getattr(part, "forbidden_requests", {}))


def make_scorers(setting: Any, task: "Task") -> list[Scorer]:
    """Return the scorers that the config key ``task.scorer`` names; the first one is what is compared by.

    Raises:
        UserError: there is no such scorer, it refuses its settings, or two have one name.
    """
    if isinstance(setting, list) and not setting:
        raise UserError(f"config key {KEY} is an empty list; name a scorer, or leave the key out")
    scorers = [make_scorer(each, task) for each in (setting if isinstance(setting, list) else [setting])]
    names = [scorer.name for scorer in scorers]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"config key {KEY}: two scorers are called {repeated[0]!r}; leave one out")
    return scorers


def make_scorer(setting: str | Mapping[str, Any] | None, task: "Task") -> Scorer:
    """Return the scorer of one setting.

    Args:
        setting: a name, ``{name: NAME, other settings}``, or None for ``choice`` or, in a free-text task,
            ``exact``. A scorer of the user's own is
            named ``module:name``: a class that is created with the settings, and with the task where its
            constructor takes ``task``; or a function of TRL's reward form (:class:`FunctionScorer`).

    Raises:
        UserError: there is no such scorer, or it refuses its settings.
    """
    name, settings = part_setting(setting or ("choice" if task.has_options else DEFAULT_TEXT), KEY)
    if name == "choice" and not task.has_options:
        raise UserError(f"config key {KEY}: choice needs task.choices; free text takes {DEFAULT_TEXT} or another")
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

    def __init__(self, function: Callable[..., Any], name: str, task: "Task"):
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
