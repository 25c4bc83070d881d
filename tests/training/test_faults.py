"""The nine faults of the released code, each with the test that keeps us from it."""

from paft.engine.pack import Row
from paft.prompts.template import render
from paft.scoring.choice import read_letter
from paft.tasks.task import Task
from paft.training.data import BatchBuilder, EpochDataset, Item
from paft.training.samplers import UniformSampler
from paft.types import Example, Prompt

RACE = Task("race-middle", ("article", "question"), None, "letter", 0.85, 4)
EXAMPLES = [
    Example(str(i), {"article": f"text {i}", "question": "Why?"}, ("p", "q", "r", "s"), i % 4) for i in range(24)
]
PROMPTS = [Prompt(f"{i}: {{article}} {{question}} {{choices}}") for i in range(48)]
EPOCHS = 12


def meetings() -> list[tuple[int, str, str]]:
    """Return ``(step, example, prompt)`` of a whole training."""
    positions = EpochDataset(EXAMPLES, step_size=4, seed=0)
    sampler = UniformSampler(PROMPTS, K=2, steps_per_epoch=positions.steps_per_epoch, seed=0)
    items = [positions[i] for i in range(EPOCHS * len(EXAMPLES))]
    return [(item.step, item.example.id, sampler.prompt_of(item.step).id) for item in items]


def test_1_an_example_meets_another_prompt_in_each_epoch():
    prompts = {e.id: [p for _, example, p in meetings() if example == e.id] for e in EXAMPLES}
    assert all(len(met) == EPOCHS for met in prompts.values())
    assert all(len(set(met)) > EPOCHS / 2 for met in prompts.values())


def test_2_k_counts_steps_not_examples_and_the_order_is_shuffled():
    met = meetings()
    for block in range(3):
        assert len({p for step, _, p in met if step // 2 == block}) == 1
    assert len([1 for step, _, _ in met if step // 2 == 0]) == 8
    assert [int(e) for _, e, _ in met[:24]] != list(range(24))


def test_3_the_whole_pool_is_drawn_from():
    sampler = UniformSampler(PROMPTS, K=1, steps_per_epoch=100, seed=0)
    assert {sampler.prompt_of(step).id for step in range(1000)} == {p.id for p in PROMPTS}


def test_4_the_drawn_prompt_is_the_one_the_model_is_trained_on():
    class Recorder:
        seen: list[str]

        class format:  # noqa: N801
            @staticmethod
            def prompts(conversations):
                Recorder.seen = [c.user for c in conversations]
                return [[1]] * len(conversations)

        @staticmethod
        def row(ids, answer):
            return Row(ids, 1)

        @staticmethod
        def inputs(rows):
            import torch

            return {"input_ids": torch.zeros(1, len(rows)), "labels": torch.zeros(1, len(rows))}

    sampler = UniformSampler(PROMPTS, K=2, steps_per_epoch=6, seed=0)
    builder = BatchBuilder(Recorder, RACE, PROMPTS, sampler, EpochDataset(EXAMPLES, 4, seed=0))  # type: ignore[arg-type]
    for step in (0, 5, 17):
        [inputs] = builder([[Item(step, 0, EXAMPLES[0]), Item(step, 1, EXAMPLES[1])]])
        prompt = sampler.prompt_of(step)
        assert Recorder.seen == [render(prompt, RACE, example).user for example in EXAMPLES[:2]]
        assert inputs["rows"].prompts == [prompt, prompt]
        assert builder.stats[step].prompt_ids == (prompt.id,)


def test_5_the_seed_decides_every_draw():
    assert meetings() == meetings()


def test_6_training_and_evaluation_see_the_same_characters():
    """A backslash and an n stay these two characters, because both sides render in one place."""
    import inspect

    from paft.evaluation import grid
    from paft.training import data

    text = render(Prompt(r"{article}\n{question} {choices}"), RACE, EXAMPLES[0]).user
    assert r"\nWhy?" in text
    assert data.render is grid.render is render
    assert "replace(" not in inspect.getsource(render)


def test_7_leakage_between_training_and_test_prompts_is_refused():
    from paft.prompts.screen import overlap

    train = [Prompt("Read {article}; {question} {choices}")]
    assert overlap(train, [Prompt("READ  {article}: {question}\n{choices}!")], RACE)


def test_8_nothing_that_trains_or_chooses_is_handed_a_test_prompt():
    """What a method is given has no place for one; ``test_baselines.py`` watches what is in it during a run."""
    import inspect
    from dataclasses import fields

    from paft.methods.method import MethodContext
    from paft.runs.cell import Cell

    assert not any("test" in field.name for field in fields(MethodContext))
    assert "test" not in inspect.getsource(Cell._train)


def test_9_a_failure_to_answer_is_no_answer():
    options = ("p", "q", "r", "s")
    assert read_letter("I cannot tell. A hard question; D might be meant, or B.", options) is None
    assert read_letter("", options) is None
