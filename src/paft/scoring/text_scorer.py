"""What the scorers of free text share: read an answer from an output, compare it with every accepted answer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paft.scoring.text import without_thoughts
from paft.types import Example, Score

if TYPE_CHECKING:
    from paft.tasks.task import Task


class TextScorer:
    """Compares what was read from an output with each accepted answer; the best match counts.

    A subclass defines :meth:`compare`, and :meth:`read` where the answer is a part of the output.

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

    def score(self, output: str, example: Example) -> Score:
        """Return the best score over the accepted answers; no answer where none could be read."""
        answer = self.read(without_thoughts(output).strip())
        if answer is None:
            return Score(0.0, None, self.explain(output, None))
        value = max(self.compare(answer, target) for target in self.task.targets(example))
        return Score(value, answer, self.explain(output, answer))

    def read(self, text: str) -> str | None:
        """Return the answer in a text without thoughts; None where there is none."""
        return text or None

    def compare(self, answer: str, target: str) -> float:
        """Return how well an answer matches one accepted answer, from 0 to 1."""
        raise NotImplementedError

    def explain(self, output: str, answer: str | None) -> str:
        """Return why, for a person who reads the report; may be empty."""
        return ""

    def check_target(self, target: str) -> str | None:
        """Return why an accepted answer cannot be used, such as ``holds no number``; None where it can."""
        return None
