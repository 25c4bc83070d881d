"""The scorers by name, and scorers of the user's own."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from paft.errors import UserError
from paft.scoring import Scorer
from paft.scoring.answer_format import TextAnswers
from paft.scoring.python import KEY, CheckedScorer, FunctionScorer
from paft.utils.plugins import Registry, create, part_setting

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
        "json": "paft.scoring.json:JsonScorer",
        "python": "paft.scoring.python:FunctionScorer",
        "judge": "paft.scoring.judge:JudgeScorer",
    },
)
DEFAULT_TEXT = "exact"
"""The scorer of a free-text task that names none."""
OWN = "python"
"""The name of a scorer of the user's own whose ``function`` is ``module:name``."""


def text_answers(setting: Any) -> TextAnswers:
    """Return how an answer in free text is written, as the first scorer of ``task.scorer`` wants it.

    Raises:
        UserError: there is no such scorer.
    """
    setting = setting[0] if isinstance(setting, list) and setting else setting
    name, settings = part_setting(as_reference(setting or DEFAULT_TEXT), KEY)
    part = SCORERS.get(name, KEY)
    own = getattr(part, "wanted", TextAnswers.wanted)
    wanted = part.wanted_with(settings) if hasattr(part, "wanted_with") else own
    return TextAnswers(wanted, getattr(part, "forbidden_requests", {}))


def as_reference(setting: Any) -> Any:
    """Return ``{name: python, function: module:name, ...}`` as ``{name: module:name, ...}``; others as they are.

    Raises:
        UserError: ``function`` is missing or no reference.
    """
    if setting != OWN and not (isinstance(setting, Mapping) and setting.get("name") == OWN):
        return setting
    function = setting.get("function") if isinstance(setting, Mapping) else None
    if not isinstance(function, str) or ":" not in function:
        raise UserError(
            f"config key {KEY}.function: the scorer {OWN} takes {{name: {OWN}, function: module:name}}; "
            f"found {function!r}"
        )
    return {key: value for key, value in setting.items() if key != "function"} | {"name": function}


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
            ``exact``. A scorer of the user's own is named ``module:name`` (or
            ``{name: python, function: module:name}``): a class that is created with the settings, and with the
            task where its constructor takes ``task``; or a function of TRL's reward form
            (:class:`~paft.scoring.python.FunctionScorer`).

    Raises:
        UserError: there is no such scorer, or it refuses its settings.
    """
    default = "choice" if task.has_options else DEFAULT_TEXT
    name, settings = part_setting(as_reference(setting or default), KEY)
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
