"""A task: which fields are asked about, between which options, and how the answer is written."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paft.types import Example

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        labels: the options where all examples share them, None where each example brings its own.
        answer: whether the model must produce the option's text or its letter.
        top_threshold: the accuracy at which a prompt counts for the Top figure, a fraction of 1.
        letters: how many single-option slots ``{A}``, ``{B}``, ... a prompt may use; 0 where the number
            of options differs between examples.
        aliases: other names of slots, each with the slot that it stands for.
        description: what the task is, in a sentence; may be empty.
    """

    name: str
    fields: tuple[str, ...]
    labels: tuple[str, ...] | None
    answer: Literal["label", "letter"]
    top_threshold: float
    letters: int
    aliases: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    @property
    def slots(self) -> frozenset[str]:
        """The names a prompt may use in braces, aliases left out."""
        return frozenset((*self.fields, "choices", *LETTERS[: self.letters]))

    def slot_values(self, example: Example) -> dict[str, str]:
        """Return what each slot is filled with for this example."""
        values = dict(example.fields)
        values["choices"] = self.format_options(example.options)
        values.update(zip(LETTERS[: self.letters], example.options, strict=False))
        return values

    def format_options(self, options: tuple[str, ...]) -> str:
        """Lay the options out: lettered lines, or one line of labels where the text is the answer."""
        if self.answer == "letter":
            return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))
        if self.labels is not None:
            return ", ".join(options)
        return "\n".join(f"- {text}" for text in options)

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return the answer that stands for each option."""
        return tuple(LETTERS[: len(example.options)]) if self.answer == "letter" else example.options

    def target(self, example: Example) -> str:
        """Return the right answer."""
        return self.candidates(example)[example.target]
