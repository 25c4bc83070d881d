"""The options of a grid whose answers are the likeliest ones: their log-likelihoods, and which are right."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.evaluation.option_effects import OptionScores
from paft.reporting.predictions import Grid
from paft.types import LETTERS


def option_scores(
    grid: Grid, examples: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> OptionScores | None:
    """Return the log-likelihoods of the options; they are NaN where a cell was not asked.

    None where there are none: answers were generated, the examples differ in how many options they have, or
    ``examples.jsonl`` lacks some of them.

    Args:
        examples: rows of ``examples.jsonl`` by id.
        config: of the run; it says whether targets are texts of options or their letters.
    """
    likelihoods = _likelihoods(grid)
    options: list[Any] = [examples.get(example, {}).get("options") for example in grid.example_ids]
    if likelihoods is None or not all(isinstance(o, list) and len(o) == likelihoods.shape[-1] for o in options):
        return None
    facts = config.get("run")
    are_texts = facts.get("targets_are_options") if isinstance(facts, dict) else None
    right = [_right(names, target, are_texts) for names, target in zip(options, grid.targets, strict=True)]
    return OptionScores(likelihoods, np.array(right))


def _right(options: Sequence[str], target: str, are_texts: bool | None) -> list[bool]:
    """Return which options are right: those whose text, or whose letter, is the target.

    The letter of one option may be the text of another.

    Args:
        are_texts: whether targets are texts of options. None where an older run did not record it: a target that
            is the text of an option is then taken for that.
    """
    if are_texts or (are_texts is None and target in options):
        return [option == target for option in options]
    return [LETTERS[i : i + 1] == target for i in range(len(options))]


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
