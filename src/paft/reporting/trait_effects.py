"""The traits of prompts, and the difference in score that goes with each trait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paft.evaluation.intervals import TAILS, Interval
from paft.prompts.traits import PromptTraits, contrasts

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


def trait_effects(prompts: Sequence[PromptTraits], scores: Mapping[str, np.ndarray]) -> list[Trait]:
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
            method: effect(values[having], values[lacking], tested)
            for method, values in scores.items()
            if enough and not np.isnan(values).any()
        }
        results.append(Trait(name, opposite, len(having), len(lacking), effects))
    return results


def effect(having: np.ndarray, lacking: np.ndarray, comparisons: int = 1) -> Effect:
    """Return the difference between two groups' means with its 95 % interval over prompts (Welch's t).

    Without an effect, of 9 traits 0.2 to 1 % were clear with 6 or more prompts in a group, and 1.4 to 3.3 % with 4
    (0.6 % nominal), for normal, skewed and binomial scores of 24 prompts; a bootstrap called 4 to 5 % clear.
    """
    from scipy.stats import t

    difference = float(having.mean() - lacking.mean())
    variances = [values.var(ddof=1) / len(values) for values in (having, lacking)]
    freedom = 1.0
    if sum(variances) > 0:
        freedom = sum(variances) ** 2 / sum(
            v**2 / (len(group) - 1) for v, group in zip(variances, (having, lacking), strict=True)
        )
    near, far = np.sqrt(sum(variances)) * t.ppf([TAILS[0], 1 - TAILS[1] / comparisons], freedom)
    interval = Interval(difference - float(near), difference + float(near))
    return Effect(difference, interval, bool(abs(difference) > far))
