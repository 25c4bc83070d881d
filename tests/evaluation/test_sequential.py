"""A sequential test is wrong at most as often as it says, whatever the cells of the grid share."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import expit

from option_grids import option_grid
from paft.evaluation.metrics import summarise
from paft.evaluation.option_effects import OptionScores
from paft.evaluation.sequential import (
    ALPHA,
    TESTS,
    GridSample,
    balanced_order,
    evidence_above,
    evidence_below,
)
from paft.evaluation.tail import sparse_quantile_05


def grid(prompts=24, examples=100, spread=0.5, seed=0):
    """Right and wrong answers of a logistic model with prompt effects, example difficulties and interactions."""
    rng = np.random.default_rng(seed)
    logit = 1.3 + spread * rng.normal(size=(prompts, 1)) + 1.5 * rng.normal(size=examples)
    return (rng.random((prompts, examples)) < expit(logit + 0.5 * rng.normal(size=(prompts, examples)))) * 1.0


@cache
def first_rounds(prompts, examples, rounds, seed):
    return np.array(list(itertools.islice(balanced_order(prompts, examples, seed), rounds)))


def asked(scores, rounds, seed):
    prompts, examples = scores.shape
    chosen = first_rounds(prompts, examples, rounds, seed)
    return GridSample(scores[np.arange(prompts), chosen], chosen, examples)


def verdicts(figure, scores, threshold, *, rounds=16, orders=60):
    found, test = [], TESTS[figure](threshold)
    for seed in range(orders):
        cells = asked(scores, rounds, seed)
        looks = (test.decide(cells.first(n), rounds) for n in test.looks(len(scores), rounds))
        found.append(next((look.verdict for look in looks if look.verdict != "undecided"), "undecided"))
    return {verdict: found.count(verdict) / orders for verdict in ("passed", "fell short")}


def test_each_prompt_is_asked_about_another_example_in_each_round_and_all_examples_equally_often():
    chosen = np.array(list(balanced_order(6, 10, seed=1)))
    assert all(sorted(column) == list(range(10)) for column in chosen.T)
    counts = np.bincount(chosen[:5].ravel(), minlength=10)
    assert counts.max() - counts.min() <= 1
    assert (np.array(list(balanced_order(6, 10, seed=1))) == chosen).all()
    assert (np.array(list(balanced_order(6, 10, seed=2))) != chosen).any()


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_the_evidence_against_a_hypothesis_that_is_true_is_at_most_one_on_average(spread):
    """The prompts' own means lie far on both sides of the mean that is tested."""
    scores = grid(8, 30, spread)
    cells = [asked(scores, 12, seed).scores for seed in range(300)]
    for evidence in (evidence_below, evidence_above):
        values = np.array([evidence(each, scores.mean(), 30) for each in cells])
        assert values.mean() <= 1 + 3 * values.std() / len(values) ** 0.5
        assert (values >= 1 / ALPHA).mean() <= ALPHA


def test_the_test_of_the_mean_is_rarely_wrong_and_finds_a_loss_of_ten_points_in_400_questions():
    scores = grid()
    assert verdicts("mean", scores, scores.mean())["fell short"] <= ALPHA
    assert verdicts("mean", scores, scores.mean() + 1e-6)["passed"] <= ALPHA
    assert verdicts("mean", scores, scores.mean() + 0.1)["fell short"] >= 0.95
    assert verdicts("mean", scores, scores.mean() - 0.1)["passed"] >= 0.95


@pytest.mark.medium
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_test_of_the_quantile_is_rarely_wrong(spread):
    scores = grid(spread=spread)
    quantile = summarise(scores, 1.0, is_binary=True).quantile_05
    assert verdicts("quantile_05", scores, quantile, orders=40)["fell short"] <= 2 * ALPHA
    assert verdicts("quantile_05", scores, quantile + 1e-6, orders=40)["passed"] <= 2 * ALPHA


@pytest.mark.medium
def test_with_the_log_likelihoods_of_options_a_loss_of_ten_points_of_the_quantile_is_found_in_400_questions():
    found = []
    for seed in range(5):
        scores, options = option_grid(seed)
        value = summarise(scores, 1.0, is_binary=True).quantile_05
        cells = replace(asked(scores, 16, seed), options=options)
        tests = [TESTS["quantile_05"](value + loss) for loss in (0, 0.1)]
        decisions = [[test.decide(cells.first(n), 16).verdict for n in (10, 16)] for test in tests]
        found.append([next((v for v in looks if v != "undecided"), "undecided") for looks in decisions])
    at_threshold, below = zip(*found, strict=True)
    assert at_threshold.count("fell short") <= 1
    assert below.count("fell short") >= 4


def test_the_bounds_use_nothing_of_cells_that_are_not_asked():
    scores, options = option_grid(0, prompts=6, examples=20)
    cells = asked(scores, 8, seed=0)
    known = np.where(np.isnan(cells.grid())[..., None], np.nan, options.likelihoods)
    test = TESTS["quantile_05"](0.5)
    of_all, of_known = (
        test.decide(replace(cells, options=OptionScores(values, options.right)), 8)
        for values in (options.likelihoods, known)
    )
    assert of_all == of_known
    assert of_all != test.decide(cells, 8)


def test_some_right_answers_of_a_model_that_is_sure_of_them_do_not_show_that_all_are_right():
    """Of 200 examples 4 are labelled wrongly, which no log-likelihood of another example tells."""
    label, scores = np.arange(200) % 3, np.ones((24, 200))
    cells = asked(scores, 4, seed=0)
    unseen = np.setdiff1d(np.arange(200), cells.examples)[:4]
    scores[:, unseen] = 0
    chosen = np.where(scores == 1, label, (label + 1) % 3)
    options = OptionScores(30 * np.eye(3)[chosen], np.eye(3, dtype=bool)[label])
    test = TESTS["quantile_05"](0.99)
    assert test.decide(replace(cells, options=options), 16).verdict == "undecided"
    assert TESTS["quantile_05"](0.9).decide(replace(cells, options=options), 16).verdict == "passed"


def test_one_bad_prompt_makes_the_worst_fall_short_and_the_mean_pass():
    scores = grid(8, 400, spread=0.0)
    scores[3] = scores[3] * (np.arange(400) % 2)
    assert verdicts("worst", scores, 0.7, rounds=80, orders=5)["fell short"] == 1
    assert verdicts("mean", scores, 0.5, rounds=80, orders=5)["passed"] == 1


@pytest.mark.parametrize(
    ("figure", "name"), [("mean", "mean"), ("quantile_05", "quantile_05"), ("worst", "worst")]
)
def test_a_whole_grid_is_judged_by_the_figure_that_evaluate_reports(figure, name):
    scores = grid(6, 12)
    value = getattr(summarise(scores, 1.0, is_binary=True), name)
    cells = asked(scores, 12, seed=0)
    for threshold, verdict in ((value, "passed"), (value + 1e-6, "fell short")):
        decision = TESTS[figure](threshold).decide(cells, 12)
        assert (decision.verdict, decision.is_exact) == (verdict, True)
        assert decision.estimate == pytest.approx(value)


def test_the_quantile_of_some_cells_becomes_that_of_the_whole_grid():
    scores = grid(12, 60)
    whole = summarise(scores, 1.0, is_binary=True).quantile_05
    almost = scores.copy()
    almost[0, 0] = np.nan
    tail = sparse_quantile_05(almost, ALPHA)
    assert tail.value == pytest.approx(whole, abs=0.005)
    assert tail.low <= tail.value <= tail.high
    few = sparse_quantile_05(asked(scores, 8, seed=0).grid(), ALPHA)
    assert few.high - few.low > 3 * (tail.high - tail.low)
