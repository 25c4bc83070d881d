"""Figures of a grid whose prompts and examples are both samples, some without the noise of the examples.

The two-way layout without replication has prompts as rows and examples as columns. Its mean square between prompts
has the expectation E * S² + R, where S is the standard deviation over all prompts of the expected score, R the
residual variance and E the number of examples; the residual mean square has the expectation R.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from paft.evaluation.intervals import TAILS, Interval, chi_square_interval

LOW = 0.05
"""The share of the prompts that are at the 5 % quantile or below."""
DRAWN = 20
"""The number of prompts of which the worst is expected."""
NODES = 100
"""Points at which an expectation over the lowest of :data:`DRAWN` prompts is evaluated."""
MAX_STD = 0.5
"""The largest standard deviation of values between 0 and 1."""


@dataclass(frozen=True)
class Layout:
    """The mean squares of a grid of at least two prompts.

    Attributes:
        per_prompt: the score of each prompt.
        between: the mean square between prompts, MS_P.
        residual: the residual mean square, MS_R; None for a single example.
    """

    per_prompt: np.ndarray
    examples: int
    between: float
    residual: float | None

    @property
    def excess_kurtosis(self) -> float:
        """How much heavier the tails of the prompts' scores are than those of a normal distribution; at least 0.

        It is taken around a trimmed mean, which makes it less biased in small samples (Bonett 2006,
        doi:10.1016/j.csda.2004.10.003).
        """
        from scipy.stats import trim_mean

        prompts = len(self.per_prompt)
        if prompts < 5 or not self.between:
            return 0.0
        trimmed = trim_mean(self.per_prompt, min(0.49, 1 / (2 * sqrt(prompts - 4))))
        squares = ((self.per_prompt - self.per_prompt.mean()) ** 2).sum()
        return max(0.0, float(prompts * ((self.per_prompt - trimmed) ** 4).sum() / squares**2) - 3)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of ``between``: fewer than prompts - 1 where the tails are heavy.

        The relative variance of a sample variance is 2 / (prompts - 1) + excess kurtosis / prompts. The second one
        is larger for few prompts, whose kurtosis is underestimated (Bonett's factor n / (n - z), squared).
        """
        prompts = len(self.per_prompt)
        return 2 / (2 / (prompts - 1) + self.excess_kurtosis * prompts / (prompts - 1.96) ** 2)

    @property
    def skewness(self) -> float:
        """The skewness of the prompts' scores."""
        centred = self.per_prompt - self.per_prompt.mean()
        return float((centred**3).mean() / (centred**2).mean() ** 1.5) if self.between else 0.0

    @property
    def std(self) -> float:
        """The standard deviation of the prompts' scores as they were measured."""
        return sqrt(self.between / self.examples)

    @property
    def std_noise_free(self) -> float | None:
        """The estimate of S; None for a single example."""
        if self.residual is None:
            return None
        return sqrt(max(0.0, self.between - self.residual) / self.examples)

    @property
    def quantile_05(self) -> float | None:
        """The estimate of :func:`quantile_05`; None for a single example."""
        std = self.std_noise_free
        if std is None:
            return None
        centre = self.per_prompt.mean()
        measured = np.quantile(self.per_prompt, LOW, method="median_unbiased")
        return float(centre + (std / self.std if self.std else 0.0) * (measured - centre))

    @property
    def worst_of_20(self) -> float:
        """The estimate of :func:`worst_of_20`."""
        ascending = np.sort(self.per_prompt)
        prompts = len(ascending)
        left = np.arange(prompts, -1, -1.0)  # how many prompts are at least as good as the k-th lowest
        if prompts < DRAWN:
            all_among = (left / prompts) ** DRAWN
        else:
            all_among = np.prod([np.maximum(0, left - i) / (prompts - i) for i in range(DRAWN)], axis=0)
        return float((all_among[:-1] - all_among[1:]) @ ascending)

    def std_interval(self) -> Interval:
        """Return an interval of the measured standard deviation."""
        found = chi_square_interval(self.std, self.freedom)
        return _at_most(MAX_STD, found.low, found.high, self.std)

    def std_noise_free_interval(self) -> Interval | None:
        """Return an interval of S; None for a single example.

        It inverts the F test of the two mean squares, which is exact for normal scores, with :attr:`freedom` in
        place of prompts - 1. Scores of 0 and 1 are not normal, so it was simulated on logistic models with prompt
        effects, example difficulties and interactions, 5 x 50 to 50 x 300 cells, mean accuracy 62 to 86 %. Without
        an effect it reaches 0 in 98 to 99 % of the grids. With normal effects on the logit it covers S in 92 to
        99 % (with prompts - 1 degrees of freedom in 88 to 98 %), with exponential effects in 76 to 96 % (54 to
        86 %). A bootstrap over prompts and examples would count the noise of the examples twice.
        """
        from scipy.stats import f

        estimate = self.std_noise_free
        if self.residual is None or estimate is None:
            return None
        rows = len(self.per_prompt) - 1
        variances = self.between / f.ppf(TAILS, self.freedom, rows * (self.examples - 1)) - self.residual
        low, high = np.sqrt(np.maximum(0, variances) / self.examples)
        return _at_most(MAX_STD, low, high, estimate)


def layout(scores: np.ndarray) -> Layout | None:
    """Return the mean squares of a grid; None for a single prompt.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1.
    """
    prompts, examples = scores.shape
    if prompts < 2:
        return None
    per_prompt, per_example, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    between = examples * ((per_prompt - mean) ** 2).sum() / (prompts - 1)
    if between < 1e-12:  # rounding
        between = 0.0
    residual = None
    if examples > 1:
        rest = scores - per_prompt[:, None] - per_example + mean
        residual = float((rest**2).sum() / ((prompts - 1) * (examples - 1)))
    return Layout(per_prompt, examples, float(between), residual)


def quantile_05(grid: Layout, mean: Interval) -> tuple[float, Interval] | None:
    """Return the 5 % quantile over prompts of the expected score, with an interval; None for a single example.

    The noise of the examples makes the quantile of the measured scores too low. So the scores are moved towards
    their mean until they have the variance (MS_P - MS_R) / E: by the square root of the reliability
    (MS_P - MS_R) / MS_P. Of these the median-unbiased quantile is taken. In simulation (as for
    :meth:`Layout.std_noise_free_interval`, 20 x 120 cells) its bias is -3.6 to +1.1 points, that of the plain
    quantile -5.0 to +6.9, and that of scores moved by the reliability itself, which have too little spread, -0.4
    to +8.5.

    Args:
        mean: the interval of the mean.
    """
    std, interval, estimate = grid.std_noise_free, grid.std_noise_free_interval(), grid.quantile_05
    if std is None or interval is None or estimate is None:
        return None
    return estimate, _tail_interval(grid, estimate, mean, std, interval, np.array([LOW]))


def worst_of_20(grid: Layout, mean: Interval) -> tuple[float, Interval]:
    """Return the expected lowest measured score among 20 of the prompts, with an interval.

    The 20 are drawn without replacement, and with replacement where there are fewer than 20 prompts. Unlike the
    5 % quantile it holds the noise of the examples, as the worst of 20 prompts that somebody measures does.

    Args:
        mean: the interval of the mean.
    """
    estimate = grid.worst_of_20
    lowest = 1 - (1 - (np.arange(NODES) + 0.5) / NODES) ** (1 / DRAWN)
    return estimate, _tail_interval(grid, estimate, mean, grid.std, grid.std_interval(), lowest)


def _tail_interval(
    grid: Layout, estimate: float, mean: Interval, std: float, std_interval: Interval, levels: np.ndarray
) -> Interval:
    """Return an interval of the mean of some quantiles, from those of the mean and of the standard deviation.

    20 prompts have too few in the tail for a bootstrap. The quantile is written as mean - z * std, with z from a
    Beta distribution, and the two intervals are combined (MOVER: Zou and Donner 2008, doi:10.1002/sim.3095). Where
    scores are skewed to the left, a low mean goes with a large std, which makes the interval wider. It is extended
    by the same interval around the estimate from the order of the prompts, which may be more skewed than a Beta
    distribution. In the simulations of :meth:`Layout.std_noise_free_interval` it covers 91 to 100 % with normal
    effects on the logit, and 74 to 94 % with exponential ones.
    """
    centre = float(grid.per_prompt.mean())
    z = distance_of_quantiles(centre, std, levels)
    # of the sample mean and the sample variance
    correlation = float(np.clip(grid.skewness / sqrt(grid.excess_kurtosis + 2), -0.9, 0))

    def combined(of_mean: float, of_std: float) -> float:
        return sqrt(of_mean**2 + of_std**2 - 2 * correlation * of_mean * of_std)

    below = combined(centre - mean.low, z * (std_interval.high - std))
    above = combined(mean.high - centre, z * (std - std_interval.low))
    beta = centre - z * std
    low, high = min(beta, estimate) - below, max(beta, estimate) + above
    return Interval(float(np.clip(low, 0, estimate)), float(np.clip(high, estimate, 1)))


def distance_of_quantiles(mean: float, std: float, levels: np.ndarray) -> float:
    """Return how many standard deviations the mean quantile of a Beta distribution lies below its mean."""
    from scipy.stats import beta, norm

    precision = mean * (1 - mean) / std**2 - 1 if std > 1e-6 else 0
    if precision <= 0:  # no spread, or more than a Beta distribution has
        return float(-norm.ppf(levels).mean())
    quantile = beta.ppf(levels, mean * precision, (1 - mean) * precision).mean()
    return float((mean - quantile) / std)


def _at_most(limit: float, low: float, high: float, estimate: float) -> Interval:
    """Return an interval whose upper end is at most ``limit``, unless the estimate is above it."""
    return Interval(float(min(low, estimate)), float(max(min(high, limit), estimate)))
