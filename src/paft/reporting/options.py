"""The options of a grid whose answers are the likeliest ones, and the scores after calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paft.evaluation.calibration import FEW, calibrated, lacks_no_option
from paft.evaluation.option_effects import OptionScores
from paft.evaluation.predictions import read_likelihoods
from paft.reporting.predictions import Grid
from paft.types import LETTERS, CalibrationKind


def option_scores(
    grid: Grid, examples: Mapping[str, Mapping[str, Any]], targets_are_options: bool | None
) -> OptionScores | None:
    """Return the log-likelihoods of the options, NaN where a cell was not asked, and which options are right.

    None where there are none: answers were generated, the examples differ in how many options they have, or
    ``examples.jsonl`` lacks some of them.

    Args:
        examples: rows of ``examples.jsonl`` by id.
        targets_are_options: whether targets are texts of options, or else their letters, since the letter of one
            option may be the text of another. None where an older run did not record it: a target that is the
            text of an option is then taken for that.
    """
    likelihoods = _likelihoods(grid)
    options: list[Any] = [examples.get(example, {}).get("options") for example in grid.example_ids]
    if likelihoods is None or not all(isinstance(o, list) and len(o) == likelihoods.shape[-1] for o in options):
        return None
    right = [
        _right(names, target, targets_are_options) for names, target in zip(options, grid.targets, strict=True)
    ]
    return OptionScores(likelihoods, np.array(right))


def calibrated_scores(options: OptionScores, answered: np.ndarray, kind: CalibrationKind) -> np.ndarray | None:
    """Return 1 where the calibrated answer is right, 0 where it is wrong, ``(prompts, examples)``.

    None where they cannot be had: a prompt has too few answers with the log-likelihood of every option, or an
    example of ``consensus`` no answer under another prompt.

    Args:
        answered: ``(prompts, examples)``; the result is NaN where a cell was not asked.
    """
    usable = lacks_no_option(options.likelihoods)[..., 0].sum(axis=1)
    if (usable < np.minimum(answered.sum(axis=1), FEW)).any():
        return None
    values = calibrated(options.likelihoods, kind)
    if np.isnan(values).all(axis=(1, 2)).any():
        return None
    chosen = np.nan_to_num(values, nan=-np.inf).argmax(axis=-1)
    is_right = np.take_along_axis(options.right[None], chosen[..., None], axis=-1)[..., 0]
    scores = np.where(np.isnan(values).any(axis=-1), False, is_right).astype(float)
    return np.where(answered, scores, np.nan)


def _right(options: Sequence[str], target: str, are_texts: bool | None) -> list[bool]:
    """Return which options are right: those whose text, or whose letter, is the target."""
    if are_texts or (are_texts is None and target in options):
        return [option == target for option in options]
    return [LETTERS[i : i + 1] == target for i in range(len(options))]


def _likelihoods(grid: Grid) -> np.ndarray | None:
    """Return the log-likelihoods ``(prompts, examples, options)``, NaN where a cell was not asked."""
    rows = read_likelihoods(grid.path)
    if rows is None:
        return None
    likelihoods = np.full((*grid.scores.shape, rows.shape[1]), np.nan)
    likelihoods[grid.answered] = rows
    return likelihoods
