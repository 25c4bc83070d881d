"""The options of a grid whose answers are the likeliest ones: their log-likelihoods, and which are right."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.evaluation.option_effects import OptionScores
from paft.reporting.predictions import Grid
from paft.types import LETTERS


def option_scores(grid: Grid, examples: Mapping[str, Mapping[str, Any]]) -> OptionScores | None:
    """Return the log-likelihoods of the options; they are NaN where a cell was not asked.

    None where there are none: answers were generated, the examples differ in how many options they have, or
    ``examples.jsonl`` lacks some of them.

    Args:
        examples: rows of ``examples.jsonl`` by id.
    """
    likelihoods = _likelihoods(grid)
    options: list[Any] = [examples.get(example, {}).get("options") for example in grid.example_ids]
    if likelihoods is None or not all(isinstance(o, list) and len(o) == likelihoods.shape[-1] for o in options):
        return None
    right = np.array([_right(names, target) for names, target in zip(options, grid.targets, strict=True)])
    return OptionScores(likelihoods, right)


def _right(options: Sequence[str], target: str) -> list[bool]:
    """Return which options are right: those whose text, or whose letter, is the target."""
    if target in options:
        return [option == target for option in options]
    letter = LETTERS.find(target) if len(target) == 1 else -1
    right = options[letter] if 0 <= letter < len(options) else None
    return [option == right for option in options]


def _likelihoods(grid: Grid) -> np.ndarray | None:
    """Return the log-likelihoods ``(prompts, examples, options)``; None where there are none of one shape.

    They are NaN where a cell was not asked.
    """
    column = parquet.read_table(grid.path, columns=["scores"])["scores"].combine_chunks()
    if column.null_count or not len(column):
        return None
    values = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    if len(values) % len(column) or not (np.diff(column.offsets.to_numpy()) == len(values) // len(column)).all():
        return None
    rows = values.reshape(len(column), -1)
    likelihoods = np.full((*grid.scores.shape, rows.shape[1]), np.nan)
    likelihoods[grid.answered] = rows
    return likelihoods
