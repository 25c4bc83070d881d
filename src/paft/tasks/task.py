"""A task: which fields are asked about, between which options, and how the answer is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from paft.scoring.answer_format import AnswerFormat, get_answer_format
from paft.types import LETTERS, Example


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        labels: the options where all examples share them, None where each example brings its own.
        answer_format: how the model must write its answer; ``Task`` takes its name too.
        top_threshold: the accuracy at which a prompt counts for the Top figure, a fraction of 1.
        letters: how many single-option slots ``{A}``, ``{B}``, ... a prompt may use; 0 where the number
            of options differs between examples.
        aliases: other names of slots, each with the slot that it stands for.
        description: what the task is, in a sentence; may be empty.
        answer_names: what the task calls its answer: its target column.
    """

    name: str
    fields: tuple[str, ...]
    labels: tuple[str, ...] | None
    answer_format: AnswerFormat
    top_threshold: float
    letters: int
    aliases: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    answer_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.answer_format, str):
            object.__setattr__(self, "answer_format", get_answer_format(self.answer_format))

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
        """Return the text of the slot ``{choices}``."""
        return self.answer_format.format_options(options, are_shared=self.labels is not None)

    def candidates(self, example: Example) -> tuple[str, ...]:
        """Return the answer that stands for each option."""
        return self.answer_format.candidates(example.options)

    def target(self, example: Example) -> str:
        """Return the right answer."""
        return self.candidates(example)[example.target]
