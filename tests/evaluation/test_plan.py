"""The plan of cells: balanced, seeded, nested; which grids it refuses."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paft.errors import UserError
from paft.evaluation.plan import plan_cells, planned_cells, rounds

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))


def range_of(counts):
    return counts.max() - counts.min()


@given(SIZES, st.floats(0, 1))
def test_every_prompt_and_every_example_is_asked_equally_often(size, share):
    prompts, examples, seed = size
    count = max(prompts, round(share * prompts * examples))
    planned = plan_cells(prompts, examples, count, seed)
    assert planned.sum() == count
    assert range_of(planned.sum(axis=1)) <= 1
    if prompts <= examples and count <= prompts * examples / 2:
        assert range_of(planned.sum(axis=0)) <= 1


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
@pytest.mark.parametrize(("prompts", "examples"), [(10, 10), (24, 100), (50, 200)])
def test_near_the_whole_grid_the_examples_are_still_nearly_even(prompts, examples, share):
    for seed in range(3):
        planned = plan_cells(prompts, examples, round(share * prompts * examples), seed)
        assert range_of(planned.sum(axis=0)) <= 2


@given(SIZES, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_plan_contains_the_smaller_of_the_same_seed(size, one, other):
    prompts, examples, seed = size
    small, large = (
        plan_cells(prompts, examples, max(1, round(share * prompts * examples)), seed)
        for share in sorted((one, other))
    )
    assert (large | ~small).all()


def test_a_plan_depends_on_the_seed_alone():
    plans = [plan_cells(24, 100, 480, seed) for seed in (0, 0, 1)]
    assert (plans[0] == plans[1]).all()
    assert (plans[0] != plans[2]).any()


def test_prompts_meet_on_common_examples():
    """The cells are mixed: no two halves of the prompts are asked about different examples only."""
    planned = plan_cells(50, 1000, 5000, 0).astype(int)
    shared = planned @ planned.T
    assert shared[~np.eye(50, dtype=bool)].min() > 0


@pytest.mark.parametrize(("cells", "count"), [(1, 2400), (1.0, 2400), (0.2, 480), (0.0123, 30), (500, 500)])
def test_cells_are_a_share_or_a_number(cells, count):
    assert planned_cells(cells, 24, 100) == count


def test_too_few_and_too_many_cells_are_refused_with_the_number_to_take():
    with pytest.raises(UserError, match=r"evaluation.cells: 0.005 is 12 of 2400 cells.*use at least 24"):
        planned_cells(0.005, 24, 100)
    with pytest.raises(UserError, match=r"evaluation.cells: 2401 cells, but .* have only 2400"):
        planned_cells(2401, 24, 100)


@given(SIZES)
def test_rounds_grow_up_to_the_most(size):
    prompts, examples, _ = size
    counts = rounds(prompts, examples, prompts * examples)
    assert counts[-1] == prompts * examples
    assert all(before < after for before, after in itertools.pairwise(counts))
    assert counts[0] >= min(2 * prompts, prompts * examples)
