"""What the log-likelihoods of the options tell of the cells that were not answered."""

import time

import numpy as np
import pytest

from option_grids import option_grid
from paft.evaluation.estimate import estimate_cells
from paft.evaluation.option_effects import WIDEST, OptionEffects, OptionScores
from paft.evaluation.plan import plan_cells
from paft.evaluation.two_way import layout


def some_of(scores, share, seed=0):
    count = max(len(scores), round(share * scores.size))
    return np.where(plan_cells(*scores.shape, count, seed), scores, np.nan)


def figures(grid):
    squares = layout(grid)
    return np.array([squares.std_noise_free, squares.quantile_05, grid.mean()])


@pytest.mark.medium
def test_the_options_tell_much_more_of_the_spread_than_the_scores_alone():
    errors, inside = [], []
    for seed, about in enumerate([{}, {"hard": 2}, {"labels": 2}, {"offset": 0.0}] * 2):
        scores, options = option_grid(seed, **about)
        cells, truth = some_of(scores, 0.2, seed), figures(scores)
        both = [estimate_cells(cells, options=of, seed=seed) for of in (options, None)]
        assert [found.from_options for found in both] == [True, False]
        names = ("std_noise_free", "quantile_05", "mean")
        errors.append([[abs(found.values[n] - t) for n, t in zip(names, truth, strict=True)] for found in both])
        ends = [both[0].intervals[name] for name in names]
        inside.append([e.low - 1e-9 <= t <= e.high + 1e-9 for e, t in zip(ends, truth, strict=True)])
    of_options, of_scores = np.mean(errors, axis=0)
    assert (of_options < 0.75 * of_scores).all()
    assert (100 * of_options < [1.5, 3, 1.5]).all()
    assert (np.mean(inside, axis=0) >= 7 / 8).all()


def test_what_an_unanswered_cell_would_have_shown_is_not_looked_at():
    scores, options = option_grid(0, 6, 20)
    cells = some_of(scores, 0.4)
    hidden = OptionScores(np.where(np.isnan(cells)[..., None], np.nan, options.likelihoods), options.right)
    for first, second in zip(
        *(OptionEffects(cells, of).grids(3, seed=1) for of in (options, hidden)), strict=True
    ):
        assert (first == second).all()
        assert (first[~np.isnan(cells)] == cells[~np.isnan(cells)]).all()
        assert np.isin(first, (0, 1)).all()


def test_only_differences_between_options_and_their_relative_size_count():
    """A constant of each cell, and another temperature of a prompt, change no answer and no estimate."""
    scores, options = option_grid(0, 6, 20)
    rng = np.random.default_rng(0)
    other = options.likelihoods * rng.uniform(0.5, 2, (6, 1, 1)) + rng.normal(size=(6, 20, 1))
    cells = some_of(scores, 0.4)
    values = [
        estimate_cells(cells, options=OptionScores(of, options.right)).values
        for of in (options.likelihoods, other)
    ]
    assert values[0] == pytest.approx(values[1], abs=0.04)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_answers_that_are_all_alike_and_a_single_prompt_have_estimates_with_intervals(value):
    right = np.eye(3, dtype=bool)[np.arange(30) % 3]
    likelihoods = np.where(right if value else ~right, 0.0, -3.0) * np.ones((4, 30, 3))
    for prompts in (4, 1):
        scores = some_of(np.full((prompts, 30), value), 0.4)
        found = estimate_cells(scores, options=OptionScores(likelihoods[:prompts], right))
        assert found.from_options
        assert abs(found.values["mean"] - value) < 0.05
        mean = found.intervals["mean"]
        assert mean.low <= value <= mean.high
        assert mean.high - mean.low > 1 / found.answered  # the other answers may not be alike
        assert (found.values["std"] is None) == (prompts == 1)


def test_too_many_options_or_one_that_is_not_known_leave_the_scores_alone():
    scores, options = option_grid(0, 6, 20)
    cells = some_of(scores, 0.4)
    damaged = options.likelihoods.copy()
    damaged[tuple(np.argwhere(~np.isnan(cells))[0])] = np.nan
    many = np.zeros((6, 20, WIDEST // 6)), np.eye(WIDEST // 6, dtype=bool)[np.arange(20)]
    for of in (OptionScores(damaged, options.right), OptionScores(*many)):
        assert estimate_cells(cells, options=of).values == estimate_cells(cells).values


@pytest.mark.slow
def test_50_prompts_and_1000_examples_are_fitted_in_under_5_seconds():
    scores, options = option_grid(0, 50, 1000)
    started = time.process_time()
    estimate_cells(some_of(scores, 0.2), options=options)
    assert time.process_time() - started < 5


def test_one_cell_of_each_prompt_is_estimated_from_the_scores():
    scores, options = option_grid(0)
    cells = np.where(plan_cells(*scores.shape, len(scores), 0), scores, np.nan)
    found = estimate_cells(cells, options=options, seed=0)
    assert not found.from_options
    assert 0 <= found.values["mean"] <= 1
