"""The accuracy after Batch Calibration, computed from the likelihoods in ``predictions.parquet``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from paft.evaluation.calibration import calibrated
from paft.reporting.options import option_scores
from paft.reporting.predictions import Grid


def calibrated_scores(
    grid: Grid, examples: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> np.ndarray | None:
    """Return 1 where the calibrated answer is right, 0 where it is wrong, ``(prompts, examples)``.

    It is NaN where a cell was not asked. None where :func:`paft.reporting.options.option_scores` finds no options.

    Args:
        examples, config: of the run.
    """
    options = option_scores(grid, examples, config)
    if options is None:
        return None
    values = calibrated(options.likelihoods)
    chosen = np.nan_to_num(values, nan=-np.inf).argmax(axis=-1)
    found = np.take_along_axis(options.right[None], chosen[..., None], axis=-1)[..., 0]
    scores = np.where(np.isnan(values).any(axis=-1), False, found).astype(float)
    return np.where(grid.answered, scores, np.nan)
