"""How an output is judged: the scorer protocol, the built-in scorers, and how answers are written and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from paft.types import Example, Score


class Scorer(Protocol):
    """Judges what a model wrote.

    Attributes:
        name: the scorer's name, for messages and reports.
        is_binary: True where every value is 0 or 1, so that an answer is either right or wrong.
    """

    name: str
    is_binary: bool

    def score(self, output: str, example: Example) -> Score:
        """Return the score of one output for one example."""
        ...


@runtime_checkable
class TargetChecker(Protocol):
    """A scorer that cannot use every accepted answer; a run refuses those before it starts."""

    def check_target(self, target: str) -> str | None:
        """Return why an accepted answer cannot be used, such as ``holds no number``; None where it can."""
        ...


@runtime_checkable
class NormalisingScorer(Protocol):
    """A scorer for which texts that differ may be equal."""

    def comparison_key(self, text: str) -> str:
        """Return what is compared; texts with the same key are equal to the scorer."""
        ...


@runtime_checkable
class PaidScorer(Scorer, Protocol):
    """A scorer that asks a language model, which may cost money."""

    def keep_in(self, file: Path) -> None:
        """Keep each reply in a file as it arrives; called before anything is scored."""
        ...

    def announce(self, count: int) -> str:
        """Return one line on what scoring so many outputs costs at most."""
        ...

    def prepare(self, outputs: Sequence[str], examples: Sequence[Example]) -> None:
        """Ask about several outputs at once, before each is scored."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the scorer, such as its prompt."""
        ...

    def agreement(self) -> dict[str, Any]:
        """Return how far the scorer agrees with itself where it was asked twice."""
        ...

    def summary(self) -> str | None:
        """Return the agreement as one line; None where nothing was asked twice."""
        ...
