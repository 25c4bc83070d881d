"""The metrics of scores between 0 and 1, of a single prompt, of rare labels, and of failures of format."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from paft.evaluation.consistency import UNREAD, consistency
from paft.evaluation.failures import CUT, FAILED, REFUSED, count_failures
from paft.evaluation.intervals import share_interval
from paft.evaluation.metrics import balanced_accuracy, majority, score_per_label, summarise
from paft.evaluation.paired import differences
from paft.evaluation.two_way import layout

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 999))
GRADED = SIZES.map(lambda size: np.random.default_rng(size[2]).random(size[:2]).round(1))
BINARY = SIZES.map(lambda size: (np.random.default_rng(size[2]).random(size[:2]) < 0.7).astype(float))


def test_equal_scores_of_all_prompts_are_no_proof_that_prompts_do_not_differ():
    for grid in (np.ones((5, 20)), np.tile([0, 1, 1, 0, 1, 1], (2, 1))):
        found = summarise(grid, 0.85, is_binary=True)
        assert (found.std, found.std_interval, found.std_noise_free_interval) == (0, None, None)


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


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_interval_of_a_mean_of_equal_scores_is_that_of_as_many_answers_as_examples(score):
    summary = summarise(np.full((5, 30), score), 1.0, is_binary=True)
    assert summary.mean_interval == share_interval(30 * int(score), 30)
    assert summary.mean == score
    one = summarise(np.full((5, 1), score), 1.0, is_binary=True).mean_interval
    assert one.high - one.low > 0.7


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_single_prompt_has_no_spread(is_binary):
    found = summarise(np.array([[1.0, 0, 1, 1]]), 0.5, is_binary=is_binary)
    assert (found.mean, found.worst, found.best) == (0.75, 0.75, 0.75)
    assert (found.std, found.std_interval, found.disagreement) == (None, None, None)
    assert (found.std_noise_free, found.quantile_05, found.worst_of_20, found.consistency) == (None,) * 4


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
    assert balanced_accuracy(score_per_label(always_ham, targets)) == 0.5
    per_label = score_per_label(np.array([[1.0] + [0.0] * 9, [1.0] * 10]), targets)
    assert per_label == {"spam": 1, "ham": 0.5}
    assert balanced_accuracy(per_label) == pytest.approx((1 + 0.5) / 2)


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


def grids(count, prompts, examples, effect, mean=0.8, seed=0):
    """Yield grids of a logistic model: normal prompt effects, example difficulties and a few interactions."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        logit = mean + rng.normal(0, effect, prompts)[:, None] + rng.normal(0, 1.5, examples)
        logit += rng.normal(0, 0.5, (prompts, examples))
        yield (rng.random((prompts, examples)) < 1 / (1 + np.exp(-logit))).astype(float)


def expected_scores(effect, mean=0.8):
    """Return the expected scores of 1,000 prompts of the same model, at equally likely effects."""
    normal = norm.ppf((np.arange(1000) + 0.5) / 1000)
    return (1 / (1 + np.exp(-mean - effect * normal[:, None] - np.hypot(1.5, 0.5) * normal))).mean(axis=1)


@given(BINARY)
def test_noise_free_std_is_that_of_the_two_way_layout(grid):
    found = summarise(grid, 0.5, is_binary=True)
    prompts, examples = grid.shape
    if min(grid.shape) < 2:
        assert (found.std_noise_free, found.std_noise_free_interval, found.quantile_05) == (None, None, None)
        return
    residual = grid - grid.mean(axis=1, keepdims=True) - grid.mean(axis=0) + grid.mean()
    noise = (residual**2).sum() / ((prompts - 1) * (examples - 1) * examples)
    assert found.std_noise_free == pytest.approx(max(0, found.std**2 - noise) ** 0.5, abs=1e-7)
    for key in ("std_noise_free", "quantile_05", "worst_of_20"):
        ends = getattr(found, f"{key}_interval")
        if ends is None:
            assert (key, found.std) == ("std_noise_free", 0)
            continue
        assert 0 <= ends.low <= getattr(found, key) <= ends.high <= 1


@pytest.mark.medium
def test_without_an_effect_of_the_prompt_std_reads_4_points_and_noise_free_std_may_be_0():
    layouts = [layout(grid) for grid in grids(1000, 20, 120, effect=0)]
    assert 0.035 < np.mean([found.std for found in layouts]) < 0.045
    assert np.median([found.std_noise_free for found in layouts]) < 0.01
    assert np.mean([found.std_noise_free_interval().low == 0 for found in layouts]) >= 0.95


def coverage(count, prompts, examples, effect, mean):
    """Return how often the intervals of noise-free Std, the 5 % quantile and the worst of 20 cover the truth."""
    scores = expected_scores(effect, mean)
    worst = np.mean([grid.mean(axis=1).min() for grid in grids(1000, 20, examples, effect, mean, seed=2)])
    truth = {"std_noise_free": scores.std(), "quantile_05": np.quantile(scores, 0.05), "worst_of_20": worst}
    found = [summarise(grid, 0.5, is_binary=True) for grid in grids(count, prompts, examples, effect, mean)]
    ends = {key: [getattr(summary, f"{key}_interval") for summary in found] for key in truth}
    return {key: np.mean([e.low <= truth[key] <= e.high for e in ends[key]]) for key in truth}


@pytest.mark.medium
def test_intervals_cover_the_figures_of_all_prompts():
    covered = coverage(200, 20, 120, effect=0.6, mean=0.8)
    assert 0.9 < covered["std_noise_free"] < 0.995
    assert min(covered["quantile_05"], covered["worst_of_20"]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("size", [(10, 60), (20, 120), (50, 300)])
@pytest.mark.parametrize("effect", [0.3, 1.0])
@pytest.mark.parametrize("mean", [0.8, 2.5])
def test_intervals_cover_the_figures_of_all_prompts_at_any_size(size, effect, mean):
    covered = coverage(1000, *size, effect, mean)
    print(size, effect, mean, covered)
    assert 0.92 <= covered["std_noise_free"] <= 0.98
    assert min(covered["quantile_05"], covered["worst_of_20"]) > 0.9


@pytest.mark.medium
def test_the_5_percent_quantile_is_not_lowered_by_the_noise_of_few_examples():
    truth = np.quantile(expected_scores(0.3), 0.05)
    found = [summarise(grid, 0.5, is_binary=True) for grid in grids(200, 20, 60, effect=0.3)]
    plain = np.mean([np.quantile(summary.per_prompt, 0.05, method="median_unbiased") for summary in found])
    assert plain < truth - 0.04
    assert abs(np.mean([summary.quantile_05 for summary in found]) - truth) < 0.02


def test_worst_of_20_is_the_mean_over_all_choices_of_20_prompts():
    grid = np.random.default_rng(0).random((22, 5))
    per_prompt = grid.mean(axis=1)
    found = summarise(grid, 0.5, is_binary=False)
    assert found.worst_of_20 == pytest.approx(np.mean([min(c) for c in itertools.combinations(per_prompt, 20)]))
    twenty = summarise(grid[:20], 0.5, is_binary=False)
    assert twenty.worst_of_20 == pytest.approx(twenty.worst)
    two = summarise(np.array([[0.0, 0.5], [1.0, 0.5]]), 0.5, is_binary=False)
    assert two.worst_of_20 == pytest.approx(0.25 * (1 - 0.5**20) + 0.75 * 0.5**20), "20 draws of two prompts"


ANSWERS = SIZES.map(lambda size: np.random.default_rng(size[2]).integers(UNREAD, 3, size[:2]))


@given(ANSWERS)
def test_consistency_is_how_often_two_prompts_get_the_same_answer_and_unread_ones_equal_no_other(answers):
    pairs = [((a == b) & (a != UNREAD)).mean() for a, b in itertools.combinations(answers, 2)]
    found = consistency(answers)
    if not pairs:
        assert found is None
        return
    share, ends = found
    assert share == pytest.approx(np.mean(pairs))
    assert (ends is None) == (len(answers) < 3 or answers.shape[1] < 2)
    if ends:
        assert 0 <= ends.low <= share + 1e-9
        assert share - 1e-9 <= ends.high <= 1


@pytest.mark.medium
def test_the_interval_of_consistency_covers_that_of_all_prompts_and_examples():
    [everything] = grids(1, 400, 4000, effect=0.6)
    truth, _ = consistency(everything.astype(int))
    ends = [consistency(grid.astype(int))[1] for grid in grids(500, 20, 120, effect=0.6, seed=3)]
    assert 0.92 < np.mean([e.low <= truth <= e.high for e in ends]) < 0.995
