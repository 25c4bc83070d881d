"""Paired comparison of two methods on the same prompts and examples."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from paft.evaluation.intervals import LEVEL, Interval, bootstrap, interval


@dataclass(frozen=True)
class Difference:
    """Mean score of ``second`` minus that of ``first``, as a fraction of 1.

    ``interval`` is the 95 % bootstrap interval over prompts and examples, both methods on the same draws. ``p`` is
    Wilcoxon's signed-rank test over prompts (two-sided), corrected by Holm for all pairs that are compared.
    """

    first: str
    second: str
    difference: float
    interval: Interval
    p: float

    @property
    def differ(self) -> bool:
        """Whether the test and the interval both find a difference."""
        return self.p < 1 - LEVEL and not self.interval.low <= 0 <= self.interval.high


def differences(grids: Mapping[str, np.ndarray], seed: int = 0) -> list[Difference]:
    """Compare every two methods.

    Args:
        grids: scores by method, ``(prompts, examples)``, with the same prompts and examples in each.
    """
    draws = {name: bootstrap(grid, seed) for name, grid in grids.items()}  # one seed: the same draws for all
    per_prompt = {name: grid.mean(axis=1) for name, grid in grids.items()}
    pairs = list(itertools.combinations(grids, 2))
    corrected = holm([signed_rank(per_prompt[b] - per_prompt[a]) for a, b in pairs])
    return [
        Difference(
            a, b, float(per_prompt[b].mean() - per_prompt[a].mean()), interval(draws[b] - draws[a]), corrected[i]
        )
        for i, (a, b) in enumerate(pairs)
    ]


def signed_rank(values: np.ndarray) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test; 1 where nothing differs.

    Prompts without a difference are removed first, as Wilcoxon did: SciPy counts them when it chooses between the
    exact and the normal distribution.
    """
    from scipy.stats import wilcoxon

    values = np.round(values, 12)  # values that differ by rounding only are ties
    values = values[values != 0]
    return float(wilcoxon(values).pvalue) if len(values) else 1.0


def holm(values: list[float]) -> list[float]:
    """Return p values corrected by Holm's step-down procedure."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected
