"""The traits of prompts, and the difference in score that goes with each trait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paft.evaluation.intervals import LEVEL, Interval
from paft.prompts.traits import PromptTraits, contrasts

DRAWS = 10_000
SMALLEST = 4
"""The minimum number of prompts in each group for which an effect is estimated."""


@dataclass(frozen=True)
class Effect:
    """The mean score of prompts with a trait minus that of prompts without it, as a fraction of 1.

    ``clear``: whether the interval, widened for the number of traits tested (Bonferroni), excludes 0.
    """

    difference: float
    interval: Interval
    clear: bool


@dataclass(frozen=True)
class Trait:
    """A trait, the number of prompts with it and with its opposite, and its effect on each method.

    ``effects`` is empty if one of the two groups has fewer than :data:`SMALLEST` prompts.
    """

    name: str
    opposite: str
    having: int
    lacking: int
    effects: dict[str, Effect]


def trait_effects(prompts: Sequence[PromptTraits], scores: Mapping[str, np.ndarray], seed: int = 0) -> list[Trait]:
    """Return the effect of every trait on every method's score.

    Args:
        prompts: the traits of each prompt.
        scores: by method, the score under each prompt; NaN for prompts that the method was not evaluated on.
    """
    groups = {}
    for name, (opposite, has) in contrasts(prompts).items():
        having = np.array([i for i, h in enumerate(has) if h is True], dtype=int)
        lacking = np.array([i for i, h in enumerate(has) if h is False], dtype=int)
        groups[name] = opposite, having, lacking
    tested = sum(min(len(a), len(b)) >= SMALLEST for _, a, b in groups.values())
    results = []
    for name, (opposite, having, lacking) in groups.items():
        enough = min(len(having), len(lacking)) >= SMALLEST
        effects = {
            method: effect(values[having], values[lacking], tested, seed)
            for method, values in scores.items()
            if enough and not np.isnan(values).any()
        }
        results.append(Trait(name, opposite, len(having), len(lacking), effects))
    return results


def effect(having: np.ndarray, lacking: np.ndarray, comparisons: int = 1, seed: int = 0) -> Effect:
    """Return the difference between two groups' means with its 95 % bootstrap interval over prompts.

    Each group is resampled separately. The bootstrap understates the standard error of a mean of n values by a
    factor of sqrt((n - 1) / n) (Hesterberg 2015, section 3.2). This matters in groups as small as these, so each
    group's deviations are scaled up by the inverse factor.
    """
    rng = np.random.default_rng(seed)
    difference = float(having.mean() - lacking.mean())
    draws = _deviations(having, rng) - _deviations(lacking, rng)
    tail = (1 - LEVEL) / 2
    low, high, far_low, far_high = difference + np.quantile(
        draws, [tail, 1 - tail, tail / comparisons, 1 - tail / comparisons]
    )
    return Effect(difference, Interval(float(low), float(high)), not far_low <= 0 <= far_high)


def _deviations(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(values)
    means = values[rng.integers(n, size=(DRAWS, n))].mean(axis=1)
    return (means - values.mean()) * np.sqrt(n / (n - 1))
