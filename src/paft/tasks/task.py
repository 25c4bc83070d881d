"""A task: which fields are asked about, between which options if any, and how the answer is written."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paft.errors import UserError
from paft.scoring.answer_format import AnswerFormat, get_answer_format
from paft.types import LETTERS, SHOTS, Example


def slot_name(name: str) -> str:
    """Return the one Unicode form of a slot's name; Python compares its identifiers in this form too."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        labels: the options where all examples share them, None where each example brings its own or has none.
        answer_format: how the model must write its answer; ``Task`` takes its name too.
        top_threshold: the accuracy at which a prompt counts for the Top figure, a fraction of 1.
        letters: how many single-option slots ``{A}``, ``{B}``, ... a prompt may use; 0 where the number
            of options differs between examples.
        aliases: other names of slots, each with the slot that it stands for.
        description: what the task is, in a sentence; may be empty.
        scorer: the setting ``task.scorer``, of the config or of the built-in task; None for the default.
        target_reading: how the target column was read, in words; empty without examples.
        answer_names: what the task calls its answer: its target column.
        shots: how many demonstrations a rendered prompt holds.
        demonstrations: the training examples that they are taken from: one more than ``shots``, so that an example
            which is one of them need not demonstrate itself.
    """

    name: str
    fields: tuple[str, ...]
    labels: tuple[str, ...] | None
    answer_format: AnswerFormat
    top_threshold: float
    letters: int
    aliases: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    scorer: Any = None
    target_reading: str = ""
    answer_names: tuple[str, ...] = ()
    shots: int = 0
    demonstrations: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.answer_format, str):
            object.__setattr__(self, "answer_format", get_answer_format(self.answer_format))

    @property
    def slots(self) -> frozenset[str]:
        """The names a prompt may use in braces, aliases left out, in the form of :func:`slot_name`."""
        options = ["choices", *LETTERS[: self.letters]] if self.has_options else []
        return frozenset((*map(slot_name, self.fields), *options, *([SHOTS] if self.shots else [])))

    @property
    def has_options(self) -> bool:
        """Whether each example has options; if not, the answer is free text."""
        return self.answer_format.has_options

    @property
    def has_own_options(self) -> bool:
        """Whether each example brings options of its own."""
        return self.has_options and self.labels is None

    def check_field(self, name: str, key: str) -> None:
        """Refuse a name that is no field of the task.

        Args:
            key: of the setting that names it, for the message.

        Raises:
            UserError: the task has no such field.
        """
        if name not in self.fields:
            raise UserError(
                f"{key}: {name!r} is no field of the task {self.name!r}; use {' or '.join(self.fields)}"
            )

    def slot_values(self, example: Example) -> dict[str, str]:
        """Return what each slot is filled with for this example."""
        values = {slot_name(field): text for field, text in example.fields.items()}
        if self.has_options:
            values["choices"] = self.format_options(example.options)
        values.update(zip(LETTERS[: self.letters], example.options, strict=False))
        return values

    def format_options(self, options: tuple[str, ...]) -> str:
        """Return the text of the slot ``{choices}``."""
        return self.answer_format.format_options(options, are_shared=self.labels is not None)

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return the answer that stands for each option."""
        return self.answer_format.candidates(example.options)

    def target(self, example: Example) -> str:
        """Return the right answer: the one that is trained on and shown."""
        return self.targets(example)[0]

    def targets(self, example: Example) -> tuple[str, ...]:
        """Return every answer that is accepted as right, the one that is trained on first."""
        if example.target is None:
            return example.targets
        return (self.candidates(example)[example.target],)
