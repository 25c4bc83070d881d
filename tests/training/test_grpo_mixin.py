"""Dynamic prompts in TRL's own GRPOTrainer: one prompt for each group, tokenised as the evaluation does."""

import pytest
import torch
from peft import LoraConfig

from conftest import COLOURS, make_model, make_tokenizer, things
from paft.errors import UserError
from paft.prompts.template import render
from paft.training.grpo.mixin import DynamicPromptGroups
from paft.training.samplers import draw_prompts
from paft.training.trainer import prompt_data

trl = pytest.importorskip("trl")

PROMPTS = [f"form {i}: {{thing}} {{choices}} {'?' * i}" for i in range(5)]
LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
SETTINGS = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "num_generations": 4,
    "max_completion_length": 3,
    "max_steps": 3,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "bf16": False,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "seed": 0,
}


class Groups(DynamicPromptGroups, trl.GRPOTrainer):
    """TRL's trainer that keeps what it is asked to generate."""

    def _generate(self, prompts):
        asked = super()._generate(prompts)
        self.asked = [*getattr(self, "asked", []), (self.state.global_step, list(self.drawn), prompts, asked[0])]
        return asked


def some_letters(completions, **columns):
    return [float(len(set(completion[0]["content"]))) for completion in completions]


def trainer(folder, reward=some_letters, sampler="mixed", **settings):
    torch.manual_seed(0)
    data = prompt_data(
        make_model(), make_tokenizer(), things(10), PROMPTS, fields=["thing"], choices=COLOURS, target="colour",
        sampler=sampler,
    )  # fmt: skip
    args = trl.GRPOConfig(output_dir=str(folder), **SETTINGS | settings)
    return Groups(args, data, reward, processing_class=make_tokenizer(), peft_config=LORA)


@pytest.mark.parametrize("iterations", [1, 2])
def test_every_group_has_the_prompt_that_the_sampler_draws_for_its_example_and_step(tmp_path, iterations):
    made = trainer(tmp_path, num_iterations=iterations, max_steps=3 * iterations)
    made.train()
    assert [step for step, *_ in made.asked] == [0, iterations, 2 * iterations]
    for step, drawn, messages, ids in made.asked:
        examples = [example for example, _ in drawn]
        known = frozenset(made.prompt_data.prompts)
        wanted = draw_prompts(made.prompt_sampler, step // iterations, examples, known)
        assert [prompt for _, prompt in drawn] == wanted
        assert len(set(wanted)) == 2  # of the sampler mixed: two groups, two prompts
        conversations = [
            render(prompt, made.prompt_data.task, example) for example, prompt in drawn for _ in range(4)
        ]
        assert ids == made.prompt_data.engine.format.prompts(conversations)
        assert [m[-1]["content"] for m in messages] == [c.user for c in conversations]
    assert len({prompt for _, drawn, *_ in made.asked for _, prompt in drawn}) > 2
    moved = [p.abs().max() > 0 for name, p in made.model.named_parameters() if "lora_B" in name]
    assert all(moved)


def test_a_server_that_is_asked_once_for_each_group_gets_the_prompt_of_all_its_rows(tmp_path):
    """TRL sends every ``num_generations``-th prompt to vLLM's server, for so many answers."""
    made = trainer(tmp_path, max_steps=1)
    made.train()
    [(_, _, messages, ids)] = made.asked
    assert [row for row in ids[::4] for _ in range(4)] == ids
    assert [row for row in messages[::4] for _ in range(4)] == messages


def test_rewards_see_the_example_of_their_row_and_the_tasks_scorer_is_the_default(tmp_path):
    seen = []

    def reward(completions, thing, target, options, **columns):
        seen.extend(zip(thing, target, options, strict=True))
        return some_letters(completions)

    trainer(tmp_path, reward, max_steps=1).train()
    colour = {row["thing"]: row["colour"] for row in things(10)}
    assert len(seen) == 8
    assert all(colour[thing] == target and options == COLOURS for thing, target, options in seen)
    made = trainer(tmp_path, None, max_steps=1)
    made.train()
    assert made.reward_func_names == ["choice"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampler": "importance"}, "ImportanceSampler learns from the loss of the right answer"),
        ({"steps_per_generation": 1}, "steps_per_generation: 1 is no multiple of gradient_accumulation_steps"),
        ({"per_device_train_batch_size": 32}, "a generation holds 16 groups .* but there are 10 examples"),
    ],
)
def test_what_would_mix_prompts_or_lacks_its_losses_is_refused(tmp_path, changes, problem):
    with pytest.raises(UserError, match=problem):
        trainer(tmp_path, **changes)
