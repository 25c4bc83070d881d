"""Samplers of your own: what they observe, what a resume restores, and the error where they fail."""

import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_mixin import LORA, SETTINGS, Plain, data
from test_training import EXAMPLES, PROMPTS, TASK, adapter, fit, losses, stopped_at
from transformers import TrainingArguments

from conftest import make_model, make_tokenizer
from paft.engine.engine import Engine
from paft.engine.pack import answer_loss, padded
from paft.errors import UserError, WorkError
from paft.models.chat import ChatFormat
from paft.training.data import BatchBuilder, EpochDataset, rows
from paft.training.objectives import CrossEntropy
from paft.training.samplers import PromptSampler, UniformSampler, make_sampler
from paft.types import Example, Prompt

SEEN: list[tuple] = []


class Worst(PromptSampler):
    """Draws a prompt for each example, those with a high loss more often; it depends on all that it observed."""

    observes = True

    def __init__(self, prompts, *, power=1.0, **given):
        super().__init__(prompts, **given)
        self.power, self.mean = power, {prompt.id: 3.0 for prompt in prompts}

    def draw(self, step, examples):
        weights = [round(self.mean[prompt.id], 3) ** self.power for prompt in self.prompts]
        return random.Random(f"{self.seed}:{step}").choices(self.prompts, weights, k=len(examples))

    def observe(self, step, prompts, losses):
        SEEN.append((step, [prompt.id for prompt in prompts], losses))
        for prompt, loss in zip(prompts, losses, strict=True):
            self.mean[prompt.id] += 0.5 * (loss - self.mean[prompt.id])

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = dict(state["mean"])


WORST = {"name": "test_samplers:Worst", "power": 4}


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def seen():
    """Return what the sampler has observed since the last call."""
    observed = list(SEEN)
    SEEN.clear()
    return observed


@pytest.mark.parametrize("sampler", [WORST, Worst])
def test_a_sampler_observes_the_mean_token_loss_of_every_example_in_order(tmp_path, sampler):
    log = fit(tmp_path, sampler=sampler)
    observed = seen()
    assert [step for step, _, _ in observed] == list(range(9))
    for row, (_, ids, step_losses) in zip(log, observed, strict=True):
        assert row["prompt_ids"] == list(dict.fromkeys(ids))
        assert len(ids) == row["examples"]
        assert min(step_losses) <= row["loss"] <= max(step_losses)
    assert any(len(row["prompt_ids"]) > 2 for row in log)


def test_accumulation_is_a_larger_batch_to_a_sampler_with_state(tmp_path):
    whole = fit(tmp_path / "a", batch_size=4, sampler=WORST)
    observed = seen()
    parts = fit(tmp_path / "b", batch_size=2, gradient_accumulation_steps=2, sampler=WORST)
    for left, right in zip(observed, seen(), strict=True):
        assert left[:2] == right[:2]
        assert left[2] == pytest.approx(right[2], abs=1e-4)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    assert [row["prompt_ids"] for row in parts] == [row["prompt_ids"] for row in whole]


def test_resumed_is_uninterrupted_with_a_sampler_with_state(tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole", save_steps=2, sampler=WORST)

    with stopped_at(4, monkeypatch):  # two steps past the last checkpoint
        fit(tmp_path / "parts", save_steps=2, sampler=WORST)
    resumed = fit(tmp_path / "parts", save_steps=2, sampler=WORST)
    assert losses(resumed) == losses(whole)
    assert [row["prompt_ids"] for row in resumed] == [row["prompt_ids"] for row in whole]
    for name, tensor in adapter(tmp_path / "whole").items():
        assert tensor.equal(adapter(tmp_path / "parts")[name])


def test_training_again_starts_from_the_first_state(tmp_path):

    args = TrainingArguments(output_dir=str(tmp_path), **SETTINGS | {"learning_rate": 0.0})
    trainer = Plain(args, data(get_peft_model(make_model(), LORA), sampler=Worst))
    trainer.train()
    first = seen()
    trainer.train()
    assert [ids for _, ids, _ in seen()] == [ids for _, ids, _ in first]


class EachItsOwn(UniformSampler):
    def draw(self, step, examples):
        return [self.prompts[i % 4] for i in range(len(examples))]


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
def test_a_prompt_for_each_example_gives_the_losses_and_gradients_of_right_padded_rows(batch_format):
    """In float32: the loss of the step, each row's loss and every LoRA gradient."""
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(make_model(), lora)
    engine = Engine(model, ChatFormat(make_tokenizer()))
    steps = EpochDataset(EXAMPLES, 6, seed=0)
    if batch_format == "tree":
        engine.choose_batch_format(rows(engine, TASK, PROMPTS[:4], EXAMPLES[:4]))
    else:
        engine.batch_format = batch_format
    assert engine.batch_format == batch_format
    sampler = EachItsOwn(PROMPTS, K=1, steps_per_epoch=steps.steps_per_epoch, seed=0)
    [inputs] = BatchBuilder(engine, TASK, PROMPTS, sampler, steps)([[steps[i] for i in range(6)]])
    labels, tags = inputs.pop("labels"), inputs.pop("rows")
    assert len({prompt.id for prompt in tags.prompts}) == 4
    step_rows = tags.with_logits(model(**inputs).logits, labels, None)
    loss = CrossEntropy().loss(step_rows)
    loss.backward()
    own = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()

    model.get_base_model().set_attn_implementation("sdpa")
    reference = padded(rows(engine, TASK, tags.prompts, tags.examples), pad=1)
    answers = reference.pop("labels")
    logits = model(**reference).logits
    expected = answer_loss(logits, answers, None)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    for row, row_logits, row_answers in zip(step_rows.row_losses, logits, answers, strict=True):
        assert row.item() == pytest.approx(answer_loss(row_logits, row_answers, None).item(), abs=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(own[name], parameter.grad, atol=1e-5, rtol=1e-4)


class TooFew(UniformSampler):
    def draw(self, step, examples):
        return super().draw(step, examples)[1:]


class Stranger(UniformSampler):
    def draw(self, step, examples):
        return [Prompt("a prompt of my own {thing}")] * len(examples)


class Broken(UniformSampler):
    def draw(self, step, examples):
        raise KeyError("nothing")


class NoJson(UniformSampler):
    def state_dict(self):
        return {"prompts": {1, 2}}


@pytest.mark.parametrize(
    ("sampler", "line"),
    [
        (TooFew, "the sampler TooFew drew 3 prompts for the 4 examples of step 0; draw"),
        (
            Stranger,
            r"the sampler Stranger drew .*a prompt of my own .*at step 0, which is not one of the training",
        ),
        (Broken, r"the sampler Broken failed: KeyError: .*nothing.* \(.*test_samplers\.py:\d+\); fix it"),
        (NoJson, r"the sampler NoJson: state_dict\(\) must return a mapping of JSON values"),
    ],
)
def test_a_sampler_that_fails_is_one_clear_line(tmp_path, sampler, line):
    with pytest.raises(WorkError, match=line):
        fit(tmp_path, sampler=sampler)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("unifrom", "config key training.sampler: no sampler 'unifrom'; did you mean 'uniform'"),
        ({"name": "uniform", "k": 3}, "config key training.sampler.k is unknown"),
        ({"power": 3}, "config key training.sampler takes a name or"),
        ("test_samplers:Nothing", "config key training.sampler: 'test_samplers' has no 'Nothing'"),
        ("paft.types:Prompt", "config key training.sampler"),
        (dict, "config key training.sampler: .*makes a dict; derive it from PromptSampler"),
    ],
)
def test_a_wrong_sampler_setting_names_its_key(setting, line):
    with pytest.raises(UserError, match=line):
        make_sampler(setting, PROMPTS, K=1, steps_per_epoch=1, seed=0)


def test_an_abstract_sampler_is_refused_with_what_it_lacks():
    with pytest.raises(UserError, match=r"training\.sampler: TypeError: .*draw"):
        make_sampler(PromptSampler, PROMPTS, K=1, steps_per_epoch=1, seed=0)


class Added(UniformSampler):
    """Adds a prompt that leaves a field out."""

    extra_prompts = (Prompt("What is it?"),)


def test_a_prompt_that_a_sampler_adds_must_fit_the_task():
    with pytest.raises(
        UserError, match=r"sampler Added adds the prompt 'What is it\?'.*not fit the task: .*thing"
    ):
        make_sampler(Added, PROMPTS, K=1, steps_per_epoch=1, seed=0, task=TASK)


def test_examples_and_prompts_that_are_drawn_are_the_steps(tmp_path):
    """A sampler is handed all examples of a step, also over accumulation."""
    handed: list[list[Example]] = []

    class Recorder(UniformSampler):
        def draw(self, step, examples):
            handed.append(list(examples))
            return super().draw(step, examples)

    fit(tmp_path, sampler=Recorder, batch_size=2, gradient_accumulation_steps=2, num_train_epochs=1)
    assert [len(examples) for examples in handed] == [4, 4, 3]
    assert sorted(int(e.id) for examples in handed for e in examples) == list(range(11))
