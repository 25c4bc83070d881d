"""The 5 % quantile over prompts from some of the cells of a grid, with bounds."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from paft.evaluation.two_way import LOW, distance_of_quantiles, layout

if TYPE_CHECKING:  # imports scipy
    from paft.evaluation.option_effects import OptionScores

SHAPE = 0.6
"""How uncertain it is, as a standard deviation, how many standard deviations the 5 % quantile lies below the mean,
where the scores say nothing about it. A normal sample of 24 prompts has 0.35; real prompts have outliers."""

RULE_OF_THREE = 3
"""Where no answer of n is wrong, up to 3 / n of all may be (95 %); the variance is taken to be at least that."""

DRAWS = 200
"""Completed grids from which the quantile is computed, where options were scored."""
SIDES = 0.1, 0.9
"""Quantiles of the draws that give their spread below and above the estimate."""
WIDENING = 1.6
"""How much wider than the draws the bounds are set, where options were scored.

It was set after eight of the 60 grids on which it was measured (docs/results.md, "The gate").
"""


@dataclass(frozen=True)
class Tail:
    """An estimate; ``low`` and ``high`` are one-sided bounds, each at the level that was asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class _PromptEffects:
    """An additive fit of the scores that are known.

    Attributes:
        values: of each prompt.
        noise: the variance of a value because only some examples are asked, if there were no end of examples.
        share: how much of the grid is asked.
        mean_error: the standard error of the mean of the whole grid.
        freedom: the degrees of freedom of ``noise``.
    """

    values: np.ndarray
    noise: float
    share: float
    mean_error: float
    freedom: float


def sparse_quantile_05(grid: np.ndarray, level: float) -> Tail:
    """Return the 5 % quantile that the whole grid would have (:func:`paft.evaluation.two_way.quantile_05`).

    It is written as mean - z * S, with the noise-free standard deviation S over the given prompts. The bounds of S
    come from the noncentral chi-square distribution of the sum of squares of the prompts' effects, which are
    adjusted for the difficulty of the examples that each was asked about. z is that of the effects as far as they
    are reliable, and that of a Beta distribution as far as they are not, with the error :data:`SHAPE`. The three
    parts are combined as in MOVER (Zou and Donner 2008, doi:10.1002/sim.3095).

    Args:
        grid: ``(prompts, examples)``, NaN where a cell is not asked; each prompt has two at least.
        level: the probability that each bound is wrong.
    """
    from scipy.stats import norm

    fit = _fit(grid)
    prompts, mean = len(fit.values), float(fit.values.mean())
    squares = float(((fit.values - mean) ** 2).sum())
    sampling = max(fit.noise * (1 - fit.share), 1e-9)  # of the cells that are not asked
    lasting = fit.noise * fit.share  # what the whole grid has too
    spread = max(0.0, squares / (prompts - 1) - sampling)
    std = sqrt(max(0.0, spread - lasting))
    normal = float(norm.ppf(1 - level))
    error = normal * sqrt(2 / fit.freedom)
    low, high = (
        sqrt(max(0.0, _noncentrality(squares / sampling, prompts - 1, p) * sampling / (prompts - 1) - rest))
        for p, rest in ((1 - level, lasting * (1 + error)), (level, lasting * max(0.0, 1 - error)))
    )
    low, high = min(low, std), max(high, std)
    reliability = spread / (spread + sampling)
    shape = reliability * _measured_distance(fit.values) + (1 - reliability) * distance_of_quantiles(
        mean, std, np.array([LOW])
    )
    value, shape_error = mean - shape * std, normal * SHAPE * sqrt(1 - reliability)
    above = sqrt((normal * fit.mean_error) ** 2 + (shape * (std - low)) ** 2 + (shape_error * std) ** 2)
    below = sqrt((normal * fit.mean_error) ** 2 + (shape * (high - std)) ** 2 + (shape_error * high) ** 2)
    return Tail(*(float(np.clip(end, 0, 1)) for end in (value, value - below, value + above)))


def quantile_05_from_options(grid: np.ndarray, options: "OptionScores", level: float) -> Tail:
    """Return the same figure where the answers are the likeliest options, whose log-likelihoods say much more.

    The cells that are not asked are drawn from :mod:`paft.evaluation.option_effects`. The bounds are normal, with
    the spread of the draws on each side, times :data:`WIDENING`.

    Args:
        grid: ``(prompts, examples)``, NaN where a cell is not asked.
        options: of the same cells; those of cells that are not asked are not used.
        level: the probability that each bound is wrong.
    """
    from scipy.stats import norm

    from paft.evaluation.option_effects import OptionEffects

    with threadpool_limits(1, user_api="blas"):  # more threads wait for each other at every small product
        completed = [layout(drawn) for drawn in OptionEffects(grid, options).grids(DRAWS, seed=0)]
    draws = np.array([squares.quantile_05 for squares in completed if squares is not None], dtype=float)
    value = float(np.median(draws))
    widths = np.abs(np.quantile(draws, SIDES) - value) / norm.ppf(SIDES[1]) * WIDENING * norm.ppf(1 - level)
    return Tail(*(float(np.clip(end, 0, 1)) for end in (value, value - widths[0], value + widths[1])))


def _measured_distance(values: np.ndarray) -> float:
    std = values.std(ddof=1)
    return float((values.mean() - np.quantile(values, LOW, method="median_unbiased")) / std) if std else 0.0


def _noncentrality(value: float, freedom: int, probability: float) -> float:
    """Return the noncentrality with which ``value`` is the quantile of that probability; 0 where there is none."""
    from scipy.optimize import brentq
    from scipy.stats import ncx2

    def excess(noncentrality: float) -> float:
        return float(ncx2.cdf(value, freedom, noncentrality)) - probability

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0, 4 * value + 200, xtol=1e-3))


def _fit(grid: np.ndarray) -> _PromptEffects:
    """Fit score = prompt + example + rest; the examples' effects are random, with variances by moments."""
    known = ~np.isnan(grid)
    used = known.any(axis=0)
    is_asked, scores = known[:, used].astype(float), np.where(known, grid, 0)[:, used]
    prompts, examples = is_asked.shape
    count, per_prompt, per_example = is_asked.sum(), is_asked.sum(axis=1), is_asked.sum(axis=0)
    sums = np.concatenate([scores.sum(axis=1), scores.sum(axis=0)])
    means = scores.sum(axis=1) / per_prompt
    least = RULE_OF_THREE / count
    within = max(least, float((((scores - means[:, None]) ** 2) * is_asked).sum() / (count - prompts)))
    rest, of_examples, freedom = within, 0.0, count - prompts
    if count - prompts - examples + 1 >= prompts:
        freedom = count - prompts - examples + 1
        fixed = np.linalg.lstsq(_equations(is_asked, per_prompt, per_example, 0.0), sums, rcond=None)[0]
        errors = (scores - fixed[:prompts, None] - fixed[None, prompts:]) * is_asked
        rest = max(least, float((errors**2).sum() / freedom))
        of_examples = max(0.0, within - rest)
    if of_examples > 1e-9:
        inverse = np.linalg.inv(_equations(is_asked, per_prompt, per_example, rest / of_examples))
        values, covariance = (inverse @ sums)[:prompts], rest * inverse[:prompts, :prompts]
    else:
        values, covariance = means, np.diag(rest / per_prompt)
    noise = float((np.trace(covariance) - covariance.sum() / prompts) / (prompts - 1))
    share, of = count / grid.size, grid.shape[1]
    mean_error = sqrt(rest / count * (1 - share) + of_examples / examples * (1 - examples / of))
    return _PromptEffects(values, noise, float(share), mean_error, float(freedom))


def _equations(is_asked: np.ndarray, per_prompt: np.ndarray, per_example: np.ndarray, ratio: float) -> np.ndarray:
    """Return the matrix of Henderson's mixed-model equations; ``ratio`` is residual by example variance."""
    return np.block([[np.diag(per_prompt), is_asked], [is_asked.T, np.diag(per_example + ratio)]])
