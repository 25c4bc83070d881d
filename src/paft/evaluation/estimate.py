"""Figures of the whole grid, and their intervals, from the cells that were answered.

The cells that were not answered are drawn many times from a model, and every figure is computed from the completed
grids as it would be from a measured one. The model is :mod:`paft.evaluation.option_effects` where the options were
scored, else :mod:`paft.evaluation.random_effects`, which knows only the scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from paft.evaluation.consistency import UNREAD
from paft.evaluation.intervals import Interval, sample_std
from paft.evaluation.metrics import Summary, summarise
from paft.evaluation.option_effects import OptionEffects, OptionScores
from paft.evaluation.random_effects import RandomEffects
from paft.evaluation.two_way import layout
from paft.prompts.traits import PromptTraits, contrasts

DRAWS = 200
"""Completed grids from which the figures are computed."""
SUMMARISED = 4
"""Completed grids whose intervals over prompts and examples are computed and averaged."""
LEVELS = 0.025, 0.975
WIDENING = 1.4
"""How much further from the estimate the ends of an interval are set than the draws have them, but for the mean.

Measured on 108 simulated grids of 24 x 100 cells of which 20 % are answered, from six logistic models with and
without an effect of the prompt, and with interactions that the model does not have (as in
tests/evaluation/test_estimate.py). As drawn, the intervals of the noise-free Std and of the 5 % quantile cover 87
and 86 % of the whole grids; 1.33 and 1.42 times their width covers 95 %. Those of the mean cover 97 % as drawn.
The other figures were not measured and get the same factor.
"""
WIDENING_OF_OPTIONS = 2.0
"""The same, of all figures, where the log-likelihoods of the options are used.

Real grids differ from that model in more than its draws know. A factor of 1.4, chosen on validation grids, covered
82 to 86 % of 46 other grids of real runs at 20 % of the cells. 2 was set with these in view, and covers 93 to 95 %
of the 56 on which the model was not chosen (docs/results.md, "A part of the cells").
"""


@dataclass(frozen=True)
class Estimate:
    """What the whole grid would show.

    Attributes:
        values: of each figure of :func:`_figures`: the mean of the draws for ``mean``, the median for the others;
            None where a grid of this size does not have the figure.
        intervals: 95 % intervals of the values that the whole grid would have. They hold what the cells that were
            not answered leave open, not that prompts and examples are samples.
        per_prompt: the expected score of each prompt.
        answered, cells: how many cells were answered, and how many the grid has.
        grids: some of the completed grids.
        from_options: whether the log-likelihoods of the options were used.
    """

    values: dict[str, float | None]
    intervals: dict[str, Interval | None]
    per_prompt: np.ndarray
    answered: int
    cells: int
    grids: list[np.ndarray]
    from_options: bool


def estimate_cells(
    scores: np.ndarray,
    top: float = 0.85,
    *,
    traits: Sequence[PromptTraits] | None = None,
    groups: Sequence[Any] | None = None,
    options: OptionScores | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the figures of a grid from its answered cells.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1; NaN where a cell was not answered. Scores between 0 and 1 are
            taken as they are, never as 0 or 1.
        top: the score from which on a prompt counts for ``top``.
        traits: of each prompt; their effects are shrunk towards 0.
        groups: of each example, such as its label: a prompt may favour one.
        options: of the same cells, if the answers are the likeliest options. Then traits and groups are not used.
    """
    model: OptionEffects | RandomEffects
    if from_options := options is not None and options.suffice(~np.isnan(scores)):
        model = OptionEffects(scores, options)
    else:
        of_traits = None if traits is None else trait_matrix(traits)
        of_groups = None if groups is None else np.unique(np.array(groups), return_inverse=True)[1]
        model = RandomEffects(scores, of_traits, of_groups)
    grids, figures, per_prompt = [], [], np.zeros(len(scores))
    with threadpool_limits(1, user_api="blas"):  # more threads wait for each other at every small product
        for number, grid in enumerate(model.grids(DRAWS, seed)):
            figures.append(_figures(grid, top))
            per_prompt += grid.mean(axis=1) / DRAWS
            if number % (DRAWS // SUMMARISED) == DRAWS // SUMMARISED - 1:
                grids.append(grid)
    draws = {name: _known([row[name] for row in figures]) for name in figures[0]}
    values = {name: None if d is None else float(np.median(d)) for name, d in draws.items()}
    values["mean"] = float(per_prompt.mean())
    intervals = {
        name: None if d is None else _interval(values[name] or 0.0, d, _widening(name, from_options))
        for name, d in draws.items()
    }
    answered = int((~np.isnan(scores)).sum())
    return Estimate(values, intervals, per_prompt, answered, scores.size, grids, from_options)


def summarise_estimate(
    estimate: Estimate, scores: np.ndarray, top: float, *, is_binary: bool, answers: np.ndarray
) -> Summary:
    """Return the metrics of a grid of which some cells were answered.

    The intervals hold both that not all cells were answered and that prompts and examples are samples: the two
    distances from the estimate are combined as independent errors. ``disagreement`` and ``consistency`` are those
    of the pairs of prompts that were answered on the same example, without an interval: drawn answers would be too
    independent of each other. For the same reason ``right_under_all`` is left out.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1; NaN where a cell was not answered.
        answers: as for :func:`paft.evaluation.consistency.consistency`.
    """
    completed = [summarise(grid, top, is_binary=is_binary) for grid in estimate.grids]
    values: dict[str, Any] = estimate.values
    intervals: dict[str, Any] = {
        f"{name}_interval": interval and _with_sampling(name, values[name], interval, completed)
        for name, interval in estimate.intervals.items()
        if hasattr(completed[0], f"{name}_interval")
    }
    return Summary(
        **values,
        **intervals,
        prompts=scores.shape[0],
        examples=scores.shape[1],
        per_prompt=tuple(estimate.per_prompt.tolist()),
        disagreement=_over_pairs(scores, lambda left, right: np.abs(left - right)),
        consistency=_over_pairs(
            np.where(np.isnan(scores), np.nan, answers), lambda left, right: (left == right) & (left != UNREAD)
        ),
        consistency_interval=None,
        right_under_all=None,
        right_under_all_interval=None,
    )


def _with_sampling(name: str, value: float, interval: Interval, completed: Sequence[Summary]) -> Interval:
    """Return the interval with the distances of the usual one, of the completed grids, added to its own."""
    pairs = [(getattr(summary, name), getattr(summary, f"{name}_interval")) for summary in completed]
    known = [(figure, ends) for figure, ends in pairs if ends is not None]
    if not known:
        return interval
    below = np.mean([figure - ends.low for figure, ends in known])
    above = np.mean([ends.high - figure for figure, ends in known])
    low, high = value - np.hypot(below, value - interval.low), value + np.hypot(above, interval.high - value)
    return Interval(float(max(0.0, low)), float(min(1.0, high)))


def _over_pairs(values: np.ndarray, compare: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float | None:
    """Return the mean of a comparison over all pairs of prompts that were answered on the same example."""
    total, pairs = 0.0, 0
    for column in values.T:
        known = column[~np.isnan(column)]
        left, right = np.triu_indices(len(known), 1)
        total, pairs = total + float(compare(known[left], known[right]).sum()), pairs + len(left)
    return total / pairs if pairs else None


def trait_matrix(prompts: Sequence[PromptTraits]) -> np.ndarray:
    """Return the traits of prompts as numbers, ``(prompts, traits)``.

    They are 1 with a trait, -1 with its opposite and 0 where neither applies, less their mean. A trait that all
    prompts share is left out.
    """
    columns = [[0.0 if h is None else 1.0 if h else -1.0 for h in has] for _, has in contrasts(prompts).values()]
    matrix = np.unique(np.array(columns).reshape(len(columns), len(prompts)), axis=0).T
    matrix = matrix - matrix.mean(axis=0)
    return matrix[:, np.abs(matrix).max(axis=0, initial=0) > 0]


def _figures(grid: np.ndarray, top: float) -> dict[str, float | None]:
    """Return the figures of a completed grid that are estimated, under their names in :class:`Summary`."""
    per_prompt, mean_squares = grid.mean(axis=1), layout(grid)
    return {
        "mean": float(per_prompt.mean()),
        "std": sample_std(per_prompt),
        "top": float((per_prompt >= top - 1e-12).mean()),
        "worst": float(per_prompt.min()),
        "best": float(per_prompt.max()),
        "std_noise_free": mean_squares.std_noise_free if mean_squares else None,
        "quantile_05": mean_squares.quantile_05 if mean_squares else None,
        "worst_of_20": mean_squares.worst_of_20 if mean_squares else None,
    }


def _known(values: Sequence[float | None]) -> np.ndarray | None:
    return None if None in values else np.array(values, dtype=float)


def _widening(name: str, from_options: bool) -> float:
    return WIDENING_OF_OPTIONS if from_options else 1.0 if name == "mean" else WIDENING


def _interval(value: float, draws: np.ndarray, widening: float) -> Interval:
    low, high = np.quantile(draws, LEVELS)
    below, above = widening * (value - float(low)), widening * (float(high) - value)
    return Interval(max(0.0, value - below), min(1.0, value + above))
