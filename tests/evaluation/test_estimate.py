"""Figures of a whole grid from some of its cells: how far they are off, and how often their intervals are right."""

import itertools
import time
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit

from paft.evaluation.estimate import estimate_cells, summarise_estimate, trait_matrix
from paft.evaluation.metrics import Summary, summarise
from paft.evaluation.paired import clustered_interval, differences
from paft.evaluation.plan import plan_cells
from paft.evaluation.random_effects import RandomEffects
from paft.evaluation.two_way import layout
from paft.prompts.traits import traits_of
from paft.types import Prompt


def whole_grid(seed, prompts=24, examples=100, effect=0.6, mean=0.8, skewed=False, by_label=0.0, labels=6):
    """Return a grid of a logistic model with interactions, and the label of each example."""
    rng = np.random.default_rng(seed)
    of_prompt = -effect * (rng.exponential(1, prompts) - 1) if skewed else rng.normal(0, effect, prompts)
    of_label, label = rng.normal(0, by_label, (prompts, labels)), rng.integers(0, labels, examples)
    logit = mean + of_prompt[:, None] + rng.normal(0, 1.2, examples) + of_label[:, label]
    logit += rng.normal(0, 0.5, (prompts, examples))
    return (rng.random((prompts, examples)) < expit(logit)).astype(float), label


def some_of(grid, share, seed=0):
    count = max(len(grid), round(share * grid.size))
    return np.where(plan_cells(*grid.shape, count, seed), grid, np.nan)


def figures(grid):
    found = layout(grid)
    return {"std_noise_free": found.std_noise_free, "quantile_05": found.quantile_05, "mean": grid.mean()}


def errors_and_coverage(count, share, **world):
    """Return by figure the mean absolute error in points, that of the plain estimate, bias, and coverage."""
    rows = []
    for seed in range(count):
        grid, label = whole_grid(seed, **world)
        cells, truth = some_of(grid, share, seed), figures(grid)
        found = estimate_cells(cells, groups=label, seed=seed)
        accuracy = np.nanmean(cells, axis=1)
        plain = {"std_noise_free": accuracy.std(ddof=1), "mean": accuracy.mean()}
        plain["quantile_05"] = np.quantile(accuracy, 0.05, method="median_unbiased")
        rows.append({
            name: (found.values[name] - truth[name], plain[name] - truth[name],
                   found.intervals[name].low - 1e-9 <= truth[name] <= found.intervals[name].high + 1e-9)
            for name in truth
        })  # fmt: skip
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        name: (100 * np.abs(v[:, 0]).mean(), 100 * np.abs(v[:, 1]).mean(), 100 * v[:, 0].mean(), v[:, 2].mean())
        for name, v in table.items()
    }


@pytest.mark.medium
def test_a_fifth_of_the_cells_tells_the_figures_of_the_whole_grid():
    found = errors_and_coverage(12, 0.2)
    for name, most in {"std_noise_free": 4, "quantile_05": 6, "mean": 2.5}.items():
        error, plain, bias, covered = found[name]
        assert error < most
        assert error < plain or name == "mean"
        assert abs(bias) < most / 2
        assert covered > 0.75, "of 12"


WORLDS = [
    {"effect": 0.0},
    {"effect": 0.3},
    {"effect": 0.8},
    {"effect": 0.6, "skewed": True},
    {"effect": 0.5, "by_label": 0.8},
    {"effect": 0.5, "mean": 2.2},
]


@pytest.mark.slow
def test_intervals_cover_the_whole_grid_about_as_often_as_they_say():
    """Over worlds with and without an effect of the prompt, of which the model fits none exactly."""
    found = [errors_and_coverage(40, 0.2, **world) for world in WORLDS]
    for world, of in zip(WORLDS, found, strict=True):
        print(world, of)
    for name in found[0]:
        assert 0.9 < np.mean([of[name][3] for of in found]) <= 1


def test_answered_cells_stay_and_the_others_are_filled():
    grid, label = whole_grid(0, 8, 20)
    cells = some_of(grid, 0.4)
    for completed in RandomEffects(cells, groups=label).grids(5, seed=0):
        known = ~np.isnan(cells)
        assert (completed[known] == cells[known]).all()
        assert np.isin(completed, (0, 1)).all()


def test_an_estimate_is_a_pure_function_of_cells_and_seed():
    cells = some_of(whole_grid(0, 8, 20)[0], 0.4)
    first, second, other = (estimate_cells(cells, seed=seed) for seed in (0, 0, 1))
    assert first.values == second.values
    assert first.intervals == second.intervals
    assert first.values != other.values


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_answers_that_are_all_alike_leave_other_values_possible(value):
    found = estimate_cells(some_of(np.full((6, 20), value), 0.3))
    assert abs(found.values["mean"] - value) < 0.1
    for interval in found.intervals.values():
        assert 0 <= interval.low <= interval.high <= 1
    assert found.intervals["mean"].high - found.intervals["mean"].low > 0.001


def test_a_single_prompt_has_a_mean_and_no_spread():
    found = estimate_cells(some_of(whole_grid(0, 1, 60)[0], 0.5))
    assert [name for name, value in found.values.items() if value is None] == [
        "std", "std_noise_free", "quantile_05", "worst_of_20"
    ]  # fmt: skip
    assert found.intervals["mean"].low < found.values["mean"] < found.intervals["mean"].high


def test_graded_scores_are_taken_as_they_are_and_never_as_0_or_1():
    rng = np.random.default_rng(0)
    chance = expit(rng.normal(0, 0.5, (12, 1)) + rng.normal(0, 1, 60))
    grid = rng.beta(8 * chance, 8 * (1 - chance))
    cells = some_of(grid, 0.3)
    model = RandomEffects(cells)
    completed = next(model.grids(4, seed=0))
    assert model.dispersion < 0.3
    assert not np.isin(completed[np.isnan(cells)], (0, 1)).any()
    found, of_binary = estimate_cells(cells), estimate_cells(np.where(np.isnan(cells), np.nan, cells > 0.5))
    assert abs(found.values["mean"] - grid.mean()) < 0.02
    widths = [e.intervals["mean"].high - e.intervals["mean"].low for e in (found, of_binary)]
    assert widths[0] < widths[1], "graded scores say more than their halves"


def test_pairs_are_compared_on_the_examples_that_both_prompts_have():
    grid, _ = whole_grid(0, 6, 30)
    answers = np.random.default_rng(0).integers(-1, 3, grid.shape)
    cells = some_of(grid, 0.5)
    found = summarise_estimate(estimate_cells(cells), cells, 0.8, is_binary=True, answers=answers)
    pairs = [
        (abs(cells[a, e] - cells[b, e]), answers[a, e] == answers[b, e] != -1)
        for a, b in itertools.combinations(range(6), 2)
        for e in range(30)
        if not np.isnan(cells[a, e] + cells[b, e])
    ]
    assert found.disagreement == pytest.approx(np.mean([d for d, _ in pairs]))
    assert found.consistency == pytest.approx(np.mean([s for _, s in pairs]))
    assert (found.right_under_all, found.consistency_interval) == (None, None)
    whole = summarise(grid, 0.8, is_binary=True)
    assert found.mean_interval.high - found.mean_interval.low > 0.9 * (
        whole.mean_interval.high - whole.mean_interval.low
    )


def test_a_figure_that_is_not_estimated_is_an_error_and_never_that_of_a_drawn_grid(monkeypatch):
    @dataclass(frozen=True)
    class Extended(Summary):
        median: float

    def extended(grid, top, **how):
        return Extended(**vars(summarise(grid, top, **how)), median=float(np.median(grid.mean(axis=1))))

    monkeypatch.setattr("paft.evaluation.estimate.Summary", Extended)
    monkeypatch.setattr("paft.evaluation.estimate.summarise", extended)
    cells = some_of(whole_grid(0, 6, 30)[0], 0.5)
    with pytest.raises(TypeError, match="median"):
        summarise_estimate(estimate_cells(cells), cells, 0.8, is_binary=True, answers=cells)


def test_traits_are_columns_that_tell_prompts_apart():
    texts = [
        "{thing}",
        "{thing}\nAnswer:",
        "What is it?\n{thing}",
        "Please say in a few words what it is: {thing}",
    ]
    matrix = trait_matrix([traits_of(Prompt(text), ["thing"], None, {}) for text in texts])
    assert matrix.shape[0] == 4
    assert np.allclose(matrix.mean(axis=0), 0)
    assert (np.abs(matrix).max(axis=0) > 0).all()
    assert trait_matrix([traits_of(Prompt("{thing}"), ["thing"], None, {})] * 3).shape == (3, 0)


def test_two_methods_are_compared_on_common_cells_only():
    rng = np.random.default_rng(1)
    low, high = ((rng.random((10, 40)) < chance).astype(float) for chance in (0.4, 0.8))
    parts = {"low": some_of(low, 0.3), "high": some_of(high, 0.6), "whole": high}
    found = {(d.first, d.second): d for d in differences(parts)}
    assert [d.cells for d in found.values()] == [120, 120, 240]
    common = ~np.isnan(parts["low"])
    per_prompt = np.nanmean(np.where(common, high - low, np.nan), axis=1)
    for pair in (("low", "high"), ("low", "whole")):
        assert found[pair].difference == pytest.approx(per_prompt.mean())
        assert found[pair].differ
    assert found["high", "whole"].difference == 0
    assert differences({"low": low, "high": high})[0].cells == 400


@pytest.mark.medium
def test_the_interval_of_a_difference_on_few_cells_covers_it():
    covered = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        grid = 0.1 + rng.normal(0, 0.1, (20, 1)) + rng.normal(0, 0.3, 80) + rng.choice([-0.5, 0.5], (20, 80))
        ends = clustered_interval(some_of(grid, 0.2, seed))
        covered.append(ends.low <= 0.1 <= ends.high)
    assert 0.91 < np.mean(covered) < 0.99


@pytest.mark.slow
def test_50_prompts_and_1000_examples_are_fitted_in_under_5_seconds():
    grid, label = whole_grid(0, 50, 1000, by_label=0.5)
    started = time.perf_counter()
    estimate_cells(some_of(grid, 0.2), groups=label)
    assert time.perf_counter() - started < 5
