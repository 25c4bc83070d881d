"""The metrics of scores between 0 and 1, of a single prompt, of rare labels, and of failures of format."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.evaluation.failures import CUT, FAILED, REFUSED, count_failures
from paft.evaluation.metrics import balanced_accuracy, majority, share_interval, summarise
from paft.evaluation.paired import differences

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 999))
GRADED = SIZES.map(lambda size: np.random.default_rng(size[2]).random(size[:2]).round(1))
BINARY = SIZES.map(lambda size: (np.random.default_rng(size[2]).random(size[:2]) < 0.7).astype(float))


@given(GRADED)
def test_disagreement_is_the_mean_difference_of_two_prompts_on_an_example(grid):
    found = summarise(grid, 0.5, is_binary=False)
    pairs = [np.abs(a - b).mean() for a, b in itertools.combinations(grid, 2)]
    assert found.disagreement == (pytest.approx(np.mean(pairs)) if pairs else None)


@given(GRADED)
def test_right_under_all_is_the_mean_of_the_lowest_score_with_an_interval_around_it(grid):
    found = summarise(grid, 0.5, is_binary=False)
    assert found.right_under_all == pytest.approx(np.mean([min(column) for column in grid.T]))
    ends = found.right_under_all_interval
    assert ends.low - 1e-9 <= found.right_under_all <= ends.high + 1e-9


@given(BINARY)
def test_where_scores_are_0_or_1_both_kinds_differ_in_one_interval_only(grid):
    binary, graded = (summarise(grid, 0.5, is_binary=kind) for kind in (True, False))
    wilson = share_interval(int(grid.all(axis=0).sum()), grid.shape[1])
    assert binary.right_under_all_interval == wilson
    assert {k for k, v in vars(binary).items() if v != vars(graded)[k]} <= {"right_under_all_interval"}


@pytest.mark.medium
def test_the_interval_of_the_lowest_score_covers_the_truth_about_as_often_as_it_says():
    """Examples of varying difficulty under five fixed prompts, 300 samples of 60; the truth from 200,000."""
    rng = np.random.default_rng(0)
    prompts = rng.normal(0, 0.3, 5)[:, None]

    def drawn(count):
        return np.clip(0.6 + prompts + rng.normal(0, 0.3, count)[None] + rng.normal(0, 0.1, (5, count)), 0, 1)

    truth = drawn(200_000).min(axis=0).mean()
    covered = 0
    for _ in range(300):
        ends = summarise(drawn(60), 0.5, is_binary=False).right_under_all_interval
        covered += ends.low <= truth <= ends.high
    assert 0.9 < covered / 300 < 0.99


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_single_prompt_has_no_spread(is_binary):
    found = summarise(np.array([[1.0, 0, 1, 1]]), 0.5, is_binary=is_binary)
    assert (found.mean, found.worst, found.best) == (0.75, 0.75, 0.75)
    assert (found.std, found.std_interval, found.disagreement) == (None, None, None)


def test_methods_with_graded_scores_are_compared_on_the_same_draws():
    rng = np.random.default_rng(0)
    first = rng.random((20, 50))
    [found] = differences({"a": first, "b": np.clip(first + 0.05, 0, 1)})
    assert found.differ
    assert 0 < found.interval.low < found.difference < found.interval.high < 0.06


def test_an_answer_that_is_always_the_same_has_the_balanced_accuracy_of_chance():
    targets = ["spam"] + ["ham"] * 9
    always_ham = np.array([[0.0] + [1.0] * 9] * 3)
    assert always_ham.mean() == majority([[target] for target in targets]) == 0.9
    assert balanced_accuracy(always_ham, targets) == 0.5
    assert balanced_accuracy(np.array([[1.0] + [0.0] * 9, [1.0] * 10]), targets) == pytest.approx((1 + 0.5) / 2)


def test_failures_of_format_are_counted_wherever_they_belong():
    scores = np.array([[1, 0, 0], [0.5, 0, 1]])
    unparsed = np.array([[False, True, True], [False, True, False]])
    finish = np.array([[CUT, CUT, REFUSED], [0, FAILED, 0]])
    found = count_failures(scores, unparsed, finish)
    assert (found.unparsed, found.cut, found.refused, found.errors) == (3, 2, 1, 1)
    assert found.parsed_accuracy == pytest.approx((1 + 0.5 + 1) / 3)
    assert found.per_prompt_unparsed == pytest.approx((2 / 3, 1 / 3))
    assert found.per_prompt_cut == pytest.approx((2 / 3, 0))
    assert count_failures(np.zeros((1, 2)), np.ones((1, 2), bool), np.zeros((1, 2))).parsed_accuracy is None


def test_the_majority_counts_every_accepted_answer():
    assert majority([["a", "b"], ["c", "b"], ["d"], ["b", "b"]]) == 0.75
