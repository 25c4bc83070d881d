"""How an output is judged: the scorer protocol, the built-in scorers, and how answers are written and read."""

from typing import Protocol

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
