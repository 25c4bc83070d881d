"""What the scorers of free text share: read an answer from an output, compare it with every accepted answer."""

import re
from collections.abc import Mapping
from importlib import util
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from paft.errors import UserError
from paft.scoring.fold import without_direction_marks
from paft.scoring.text import without_thoughts
from paft.types import Example, Score

if TYPE_CHECKING:
    from paft.tasks.task import Task

ASK = r"\b(?:answer|reply|respond|return|give|write|output|state|print|provide)\b"
"""The beginning of a request, for ``forbidden_requests``."""
MARKUP = {
    "JSON or other markup": r"\b(?:in|as|valid) (?:an? )?(?:JSON|XML|YAML|CSV|HTML)\b"
    r"|\bJSON (?:object|array|list|format)\b"
}


class ParsedAnswer(NamedTuple):
    """What was read from an output.

    Attributes:
        answer: None where there is no answer.
        note: how it was read where that is not plain, or why there is none; for a person who reads the report.
    """

    answer: str | None
    note: str = ""


class TextScorer:
    """Compares what was read from an output with each accepted answer; the best match counts.

    A subclass defines :meth:`compare` where more than equal texts match, and :meth:`read` where the answer is a
    part of the output. Both get texts without the marks of right-to-left writing.

    Attributes:
        wanted: what a model must write, for a language model that writes prompts.
        forbidden_requests: what a prompt must not ask for, by name, each with the pattern that finds it: a model
            that did so would give the right answer in a form that is counted as wrong.
    """

    name: str
    is_binary: bool = True
    wanted: ClassVar[str] = "the answer alone"
    forbidden_requests: ClassVar[Mapping[str, str]] = {}

    def __init__(self, task: "Task"):
        self.task = task

    @classmethod
    def wanted_with(cls, settings: Mapping[str, Any]) -> str:
        """Return :attr:`wanted` for a scorer with these settings."""
        return cls.wanted

    def score(self, output: str, example: Example) -> Score:
        """Return the best score over the accepted answers; no answer where none could be read."""
        answer, note = self.read(without_direction_marks(without_thoughts(output)).strip())
        if answer is None:
            return Score(0.0, None, note)
        targets = [without_direction_marks(target) for target in self.task.targets(example)]
        values = [self.compare(answer, target) for target in targets]
        value = max(values)
        if value < 1:
            note = "; ".join(filter(None, (note, self.difference(answer, targets[values.index(value)]))))
        return Score(value, answer, note)

    def read(self, text: str) -> ParsedAnswer:
        """Return the answer in a text without thoughts."""
        return ParsedAnswer(text or None)

    def compare(self, answer: str, target: str) -> float:
        """Return how well an answer matches one accepted answer, from 0 to 1; here, whether both are equal."""
        return float(answer == target)

    def difference(self, answer: str, target: str) -> str:
        """Return how an answer differs from the nearest accepted one, where that is not plain; may be empty."""
        return ""

    def check_target(self, target: str) -> str | None:
        """Return why an accepted answer cannot be used, such as ``holds no number``; None where it can."""
        return None


def require(package: str, scorer: str) -> None:
    """Refuse a scorer whose package is not installed.

    Raises:
        UserError: it is missing.
    """
    if util.find_spec(package) is None:
        raise UserError(
            f"config key task.scorer: {scorer} needs the package {package}; pip install 'paft[scoring]'"
        )


def unusable(target: str, scorer: str, reason: str) -> UserError:
    """Return the error of an accepted answer that :meth:`TextScorer.check_target` would have refused."""
    return UserError(f"scorer {scorer}: the accepted answer {shortened(target)!r} is {reason}; fix the data")


def shortened(text: str, longest: int = 60) -> str:
    """Return a text on one line, cut for a message."""
    text = re.sub(r"\s+", " ", text[: longest * 4])
    return text if len(text) <= longest else f"{text[:longest]}..."
