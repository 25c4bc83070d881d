"""The accuracy after Batch Calibration, computed from the likelihoods in ``predictions.parquet``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.evaluation.calibration import calibrated
from paft.reporting.predictions import Grid
from paft.types import LETTERS


def calibrated_scores(
    grid: Grid, examples: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> np.ndarray | None:
    """Return 1 where the calibrated answer is right, 0 where it is wrong, ``(prompts, examples)``.

    It is NaN where a cell was not asked.

    None where it cannot be computed: answers were generated, the examples differ in how many options they have, or
    ``examples.jsonl`` lacks some of them.

    Args:
        examples: rows of ``examples.jsonl`` by id.
        config: of the run; it says whether answers are letters.
    """
    likelihoods = _likelihoods(grid)
    options: list[Any] = [examples.get(example, {}).get("options") for example in grid.example_ids]
    if likelihoods is None or not all(isinstance(o, list) and len(o) == likelihoods.shape[-1] for o in options):
        return None
    answer = _answer(config)
    right = np.array([_right(names, target, answer) for names, target in zip(options, grid.targets, strict=True)])
    values = calibrated(likelihoods)
    chosen = np.nan_to_num(values, nan=-np.inf).argmax(axis=-1)
    found = np.take_along_axis(right[None], chosen[..., None], axis=-1)[..., 0]
    scores = np.where(np.isnan(values).any(axis=-1), False, found).astype(float)
    return np.where(grid.answered, scores, np.nan)


def _answer(config: Mapping[str, Any]) -> str:
    """Return what stands for an option, ``label`` or ``letter``; nothing where an older run did not record it."""
    facts = config.get("run")
    recorded = facts.get("answer") if isinstance(facts, dict) else None
    return str(recorded or config["task"].get("answer") or "")


def _right(options: Sequence[str], target: str, answer: str) -> list[bool]:
    """Return which options are right: those whose text, or whose letter, is the target.

    The letter of one option may be the text of another.
    """
    if answer != "letter" and target in options:
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
