"""The score of one of a task's further scorers, or after calibration."""

from dataclasses import dataclass

import numpy as np

from paft.evaluation.intervals import sample_std


@dataclass(frozen=True)
class OtherScore:
    """Mean, sample standard deviation and lowest value over the prompts.

    Where not all cells were answered, ``mean`` is that of the answered ones, and the other two are None: they
    would hold the noise of few examples per prompt.
    """

    mean: float
    std: float | None
    worst: float | None

    @classmethod
    def of(cls, scores: np.ndarray) -> "OtherScore":
        """Return the score of a grid ``(prompts, examples)``, NaN where a cell was not asked."""
        per_prompt = np.nanmean(scores, axis=1)
        if np.isnan(scores).any():
            return cls(float(per_prompt.mean()), None, None)
        return cls(float(per_prompt.mean()), sample_std(per_prompt), float(per_prompt.min()))
