"""Failures of format, apart from wrong answers: what could not be read, was cut, refused or not answered."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from paft.types import Finish
from paft.utils.console import counted

FINISHES: tuple[str, ...] = get_args(Finish)
"""Why a model stopped; the number of a cell's ``finish`` is the place in this tuple, 0 where it is not known."""
CUT, REFUSED, FAILED = map(FINISHES.index, ("length", "refused", "error"))


@dataclass(frozen=True)
class Failures:
    """Failures of format in a grid.

    A cell counts wherever it belongs: an answer that was cut before it could be read is cut and unparsed, and one
    that the provider refused is refused and unparsed.

    Attributes:
        unparsed: the number of cells whose answer could not be read; their score is 0.
        cut: the number of cells whose output ended at the token limit.
        refused, errors: the numbers of cells that the provider refused, or failed to answer.
        parsed_accuracy: the mean score of the cells whose answer could be read; None if there are none.
        per_prompt_unparsed, per_prompt_cut: the share of each prompt's cells.
    """

    unparsed: int
    cut: int
    refused: int
    errors: int
    parsed_accuracy: float | None
    per_prompt_unparsed: tuple[float, ...]
    per_prompt_cut: tuple[float, ...]


def count_failures(
    scores: np.ndarray, unparsed: np.ndarray, finish: np.ndarray, answered: np.ndarray | None = None
) -> Failures:
    """Count the failures of format.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1.
        unparsed: ``(prompts, examples)``, True where no answer could be read.
        finish: ``(prompts, examples)``, indices into :data:`FINISHES`.
        answered: ``(prompts, examples)``, False for cells that were not asked; they count nowhere.
    """
    cut = finish == CUT
    answered = np.ones(scores.shape, dtype=bool) if answered is None else answered
    read, asked = answered & ~unparsed, answered.sum(axis=1)
    return Failures(
        unparsed=int(unparsed.sum()),
        cut=int(cut.sum()),
        refused=int((finish == REFUSED).sum()),
        errors=int((finish == FAILED).sum()),
        parsed_accuracy=float(scores[read].mean()) if read.any() else None,
        per_prompt_unparsed=tuple((unparsed.sum(axis=1) / asked).tolist()),
        per_prompt_cut=tuple((cut.sum(axis=1) / asked).tolist()),
    )


def in_words(answers: int, *, unparsed: int, cut: int, refused: int, errors: int) -> str:
    """Return how many of some answers failed, without a full stop; nothing if none did."""
    counts = {
        "could not be read and score 0": unparsed,
        "cut at evaluation.max_new_tokens": cut,
        "refused by the provider": refused,
        "failed with an error": errors,
    }
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"of {counted(answers, 'answers')}, {parts}" if parts else ""
