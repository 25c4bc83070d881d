"""The goal of a gate that is a threshold; the other kind is :class:`~paft.runs.baseline.Baseline`."""

import re
from dataclasses import dataclass
from pathlib import Path

from paft.errors import UserError, nearest
from paft.evaluation.sequential import TESTS, SequentialTest
from paft.tasks.task import Task
from paft.types import Example, Prompt


@dataclass(frozen=True)
class Goal:
    """What is required: a figure of at least a threshold."""

    figure: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Return the goal that ``--at-least`` names, such as ``quantile_05>=0.80``.

        Raises:
            UserError: it is not of that form, or the figure cannot be tested.
        """
        match = re.fullmatch(r"\s*([A-Za-z]\w*)\s*>=\s*(\d*\.?\d+)\s*", text)
        if match is None or float(match[2]) > 1:
            raise UserError(
                f"--at-least: expected a figure and a threshold from 0 to 1, such as 'quantile_05>=0.80'; "
                f"found {text!r}"
            )
        if match[1] not in TESTS:
            raise UserError(
                f"--at-least: the figure {match[1]!r} cannot be tested from some of the cells"
                f"{nearest(match[1], TESTS)} (figures of the task's first scorer: {', '.join(TESTS)})"
            )
        return cls(match[1], float(match[2]))

    def check(self, prompts: int, examples: int) -> None:
        """Refuse a figure over prompts where there is only one, or whose noise a single example cannot tell.

        Raises:
            UserError: there is one prompt, or one example for the 5 % quantile.
        """
        if examples < 2 and self.figure == "quantile_05":
            raise UserError(
                "--at-least: quantile_05 requires several examples, and there is one; use mean or worst"
            )
        if prompts < 2 and self.figure != "mean":
            raise UserError(
                f"--at-least: {self.figure} is a figure over several prompts, and there is one; add prompts or "
                "use mean"
            )

    def select(
        self, prompts: list[Prompt], examples: list[Example], task: Task, folder: Path
    ) -> tuple[list[Prompt], list[Example], list[str]]:
        """Return all prompts and examples, and no note.

        Raises:
            UserError: as :meth:`check`.
        """
        self.check(len(prompts), len(examples))
        return prompts, examples, []

    def test(self) -> SequentialTest:
        """Return the test of the figure."""
        return TESTS[self.figure](self.threshold)

    def value(self, score: float, prompt: Prompt, example: Example, task: Task) -> float:
        """Return the score of a cell."""
        return score

    def reported(self, value: float) -> float:
        """Return a value of the figure as it is reported."""
        return value

    def __str__(self) -> str:
        return f"{self.figure} >= {self.threshold:g}"
