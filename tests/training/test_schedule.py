"""The uniform sampler is the paper's schedule: K, T, uniform draws, a pure function of seed and step."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from paft.training.data import EpochDataset, epoch_order
from paft.training.samplers import UniformSampler
from paft.types import Example

SCHEDULES = st.builds(
    UniformSampler,
    prompts=st.integers(1, 30).map(lambda n: tuple(range(n))),
    K=st.integers(1, 9),
    steps_per_epoch=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)


def uniform(prompts, K, steps_per_epoch, seed):
    return UniformSampler(prompts, K=K, steps_per_epoch=steps_per_epoch, seed=seed)


@given(SCHEDULES, st.integers(0, 400))
def test_a_prompt_is_kept_for_k_steps_and_the_count_starts_anew_with_each_epoch(schedule, step):
    epoch, place = divmod(step, schedule.steps_per_epoch)
    first_of_block = epoch * schedule.steps_per_epoch + place // schedule.K * schedule.K
    assert schedule.prompt_of(step) == schedule.prompt_of(first_of_block)


@given(SCHEDULES, st.lists(st.integers(0, 400), max_size=20))
def test_a_step_has_its_prompt_whatever_was_asked_before(schedule, earlier):
    fresh = uniform(schedule.prompts, schedule.K, schedule.steps_per_epoch, schedule.seed)
    for step in earlier:
        schedule.draw(step, [])
    assert [schedule.prompt_of(step) for step in range(50)] == [fresh.prompt_of(step) for step in range(50)]


def test_the_draws_are_those_of_earlier_versions():
    sampler = uniform(range(48), 4, 25, seed=7)
    assert [sampler.prompt_of(step) for step in (0, 3, 4, 24, 25, 99)] == [31, 31, 9, 13, 9, 26]
    assert sampler.draw(4, "abc") == [9, 9, 9]


def test_one_prompt_is_the_fixed_schedule():
    assert {uniform(["only"], 3, 10, seed=5).prompt_of(step) for step in range(40)} == {"only"}


def test_prompts_are_drawn_uniformly():
    counts = Counter(uniform(range(8), 1, 100, seed=1).prompt_of(step) for step in range(16_000))
    expected = 2000
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == 8
    assert chi_square < 24.3  # 99.9 % of seeds, 7 degrees of freedom


def test_each_epoch_draws_anew_and_each_seed_differently():
    def epoch(number, seed):
        return [uniform(range(50), 1, 40, seed).prompt_of(number * 40 + place) for place in range(40)]

    assert epoch(0, seed=3) != epoch(1, seed=3)
    assert epoch(0, seed=3) != epoch(0, seed=4)


@given(st.integers(1, 60), st.integers(0, 99), st.integers(0, 5))
def test_an_epoch_visits_every_example_once(size, seed, epoch):
    assert sorted(epoch_order(size, seed, epoch)) == list(range(size))


def test_epochs_visit_the_examples_in_different_orders():
    assert epoch_order(50, 0, 0) != epoch_order(50, 0, 1)
    assert epoch_order(50, 0, 0) != tuple(range(50))


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), st.integers(0, 99))
def test_examples_of_a_group_follow_each_other_and_each_is_visited_once(passages, seed):
    examples = [Example(str(i), {"passage": passage}) for i, passage in enumerate(passages)]
    data = EpochDataset(examples, step_size=4, seed=seed, group_by="passage")
    order = data.order(1)
    assert sorted(order) == list(range(len(passages)))
    assert sum(1 for _ in itertools.groupby(passages[index] for index in order)) == len(set(passages))
    steps = [example for step in range(data.steps_per_epoch, 2 * data.steps_per_epoch)
             for example in data.step_examples(step)]  # fmt: skip
    assert steps == [examples[index] for index in order]
    assert [data[len(data) + place].example for place in range(len(data))] == steps


def test_groups_come_in_another_order_in_each_epoch():
    data = EpochDataset([Example(str(i), {"passage": str(i // 3)}) for i in range(60)], 4, 0, group_by="passage")
    assert data.order(0) != data.order(1)
