"""The design over axes, and the decomposition of the variance of the score."""

from collections import Counter

import numpy as np
import pytest

from paft.errors import UserError
from paft.evaluation.axes import decompose, make_design

COUNTS = (6, 2, 3)


def test_levels_and_examples_are_balanced_and_no_example_is_asked_twice_with_one_combination():
    design = make_design(COUNTS, 90, 800, seed=0)
    for axis, count in enumerate(COUNTS):
        asked = Counter(design.levels[:, axis].tolist())
        assert set(asked) == set(range(count))
        assert max(asked.values()) - min(asked.values()) <= 1
    asked = Counter(design.examples.ravel().tolist())
    assert len(asked) == 40
    assert max(asked.values()) - min(asked.values()) <= 1
    assert all(len(set(row)) == len(row) for row in design.examples.tolist())
    assert (design.levels == make_design(COUNTS, 90, 800, seed=0).levels).all()
    assert (design.levels != make_design(COUNTS, 90, 800, seed=1).levels).any()


def test_it_never_asks_more_than_it_may_and_refuses_too_few():
    assert make_design(COUNTS, 1_000, 2_000, seed=0).examples.size <= 2_000
    assert make_design(COUNTS, 7, 399, seed=0).examples.size <= 399
    with pytest.raises(UserError, match="--cells 100: 3 axes with 11 levels need at least 270 cells"):
        make_design(COUNTS, 100, 100, seed=0)


def made_up(seed: int, cells: int = 2_000, examples: int = 100):
    """Return the cells of a model whose shares are known, and the shares: alone, for one example, of the examples.

    The first axis moves the mean and single examples, the second single examples only, the third nothing; the
    combinations differ by themselves too.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.choice([-0.15, 0.15], examples)
    means = 0.1 * np.array([-1, -0.6, -0.2, 0.2, 0.6, 1])
    single = [rng.choice([-0.1, 0.1], (6, examples)), rng.choice([-0.08, 0.08], (2, examples))]
    design = make_design(COUNTS, examples, cells, seed)
    combination = np.repeat(np.arange(len(design.examples)), design.examples.shape[1])
    levels, example = design.levels[combination], design.examples.ravel()
    chance = 0.5 + difficulty[example] + means[levels[:, 0]]
    chance = chance + sum(effect[levels[:, axis], example] for axis, effect in enumerate(single))
    chance = chance + rng.choice([-0.04, 0.04], len(design.examples))[combination]
    scores = (rng.random(len(chance)) < chance).astype(float)
    total = 0.25
    alone = np.array([means.var(), 0, 0]) / total
    within = alone + np.array([0.01 * 5 / 6, 0.0064 / 2, 0]) / total
    by_example = (0.0225 + 0.01 / 6 + 0.0064 / 2) / total  # the mean over the levels is a part of how hard it is
    return (levels, combination, example, scores), alone, within, by_example


def test_without_noise_each_axis_has_its_share_exactly():
    (levels, combination, example, _), *_ = made_up(0)
    scores = 0.5 + 0.1 * np.array([-1, 1])[levels[:, 1]]
    found = decompose(levels, combination, example, scores)
    assert [share.value for share in found.alone] == pytest.approx([0, 1, 0], abs=1e-9)
    assert [share.value for share in found.with_examples] == pytest.approx([0, 1, 0], abs=0.05)
    assert found.level_means[1] == pytest.approx((0.4, 0.6))
    same = decompose(levels, combination, example, np.ones(len(levels)))
    assert (same.variance, same.rest, same.alone[0].value) == (0, 0, 0)


def test_scores_that_depend_on_the_example_alone_leave_nothing_to_an_axis():
    (levels, combination, example, _), *_ = made_up(0, cells=510, examples=20)
    found = decompose(levels, combination, example, (example < 3).astype(float))
    assert [share.value for share in found.with_examples] == pytest.approx([0, 0, 0], abs=1e-9)
    assert found.examples.value == pytest.approx(1, abs=0.01)


@pytest.mark.medium
def test_the_intervals_cover_the_true_shares():
    covers, estimates, zero = [], [], []
    for seed in range(80):
        cells, *truth = made_up(seed)
        found = decompose(*cells, seed)
        shares = [*found.alone, *found.with_examples, found.examples]
        true = np.concatenate([*truth[:2], [truth[2]]])
        covers.append([s.interval.low <= t <= s.interval.high for s, t in zip(shares, true, strict=True)])
        estimates.append([s.value for s in shares])
        zero.append([s.interval.low == 0 for s in found.alone[1:]])
    coverage, error = np.mean(covers, axis=0), np.mean(estimates, axis=0) - true
    print("coverage", coverage, "bias", error, "reaches 0", np.mean(zero, axis=0))
    assert coverage.min() >= 0.88  # of 80 grids: 95 % less three standard errors
    assert coverage.mean() >= 0.93
    assert np.mean(zero) >= 0.90
    assert abs(error).max() < 0.012
