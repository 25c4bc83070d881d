"""Consistency, calibration and noise on prompts: their values by hand, their gradients, their invariants."""

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_built_in_samplers import PROMPTS
from test_training import EXAMPLES, TASK, adapter, fit, losses, stopped_at
from transformers import TrainingArguments

from conftest import make_model, make_tokenizer
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.tasks.task import Task
from paft.training.data import BatchBuilder, EpochDataset, rows
from paft.training.noise import PromptNoise, StepNoise
from paft.training.objectives import Objective, make_objective
from paft.training.samplers import make_sampler

TWO_PER_STEP = {"name": "mixed", "prompts_per_step": 2}
CONSISTENCY = {"name": "consistency", "weight": 2.0, "prompts_per_example": 3}
CALIBRATION = {"name": "calibration", "weight": 2.0}
TERMS = {
    "consistency": {"objective": CONSISTENCY, "sampler": {"name": "mixed", "prompts_per_step": 4}},
    "calibration": {"objective": CALIBRATION, "sampler": TWO_PER_STEP},
    "noise": {"prompt_noise": 5.0, "sampler": TWO_PER_STEP},
}
FORMAT = ChatFormat(make_tokenizer())


def lora_model():
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return get_peft_model(make_model(), lora)


def step_of(batch_format, objective, sampler, *, noise=None, batches=1):
    """Return the rows of each forward of a step of six examples, the summed loss, and the gradients."""
    model = lora_model()
    engine = Engine(model, FORMAT)
    if batch_format == "tree":
        engine.choose_batch_format(rows(engine, TASK, PROMPTS[:4], EXAMPLES[:4]))
    else:
        engine.batch_format = batch_format
    assert engine.batch_format == batch_format
    objective = make_objective(objective)
    objective.bind(TASK, engine.format)
    copies = objective.prompts_per_example
    data = EpochDataset(EXAMPLES, 6, seed=0, copies=copies)
    drawn = make_sampler(sampler, PROMPTS, K=1, steps_per_epoch=2, seed=0, task=TASK, examples_per_step=6 * copies)
    builder = BatchBuilder(engine, TASK, PROMPTS, drawn, data, has_noise=noise is not None)
    size = 6 // batches
    built = builder([[data[size * b + i] for i in range(size)] for b in range(batches)])
    count = sum((inputs["labels"] != -100).sum() for inputs in built)
    forwards, total = [], 0
    for inputs in built:
        labels, tags = inputs.pop("labels"), inputs.pop("rows")
        with noise.added(model, tags.noise) if noise else torch.enable_grad():
            logits = model(**inputs).logits
        step_rows = tags.with_logits(logits, labels, count)
        loss = objective.loss(step_rows)
        loss.backward()
        total += loss.item()
        forwards.append(step_rows)
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    return forwards, total, gradients


def same(left, right):
    assert left[1] == pytest.approx(right[1], abs=1e-5)
    for name, gradient in left[2].items():
        torch.testing.assert_close(gradient, right[2][name], atol=1e-5, rtol=1e-4)


def term(name, batch_format, **changes):
    settings = {"objective": "cross-entropy"} | TERMS[name]
    alpha = settings.pop("prompt_noise", None)
    return step_of(batch_format, noise=PromptNoise(alpha, 0) if alpha else None, **settings, **changes)


@pytest.mark.parametrize("name", TERMS)
def test_packed_rows_give_the_loss_and_gradients_of_right_padded_rows(name):
    """In float32, with LoRA weights that are not zero."""
    same(term(name, "tree"), term(name, "padded"))


@pytest.mark.parametrize("batch_format", ["tree", "padded"])
@pytest.mark.parametrize("name", ["consistency", "noise"])
def test_the_gradients_of_accumulated_forwards_are_those_of_one(name, batch_format):
    same(term(name, batch_format, batches=3), term(name, batch_format))


def log_probs(model, example, prompt):
    """Return the log-probabilities of one row alone at its answer tokens, ``(tokens, vocabulary)``."""
    engine = Engine(model, FORMAT)
    [row] = rows(engine, TASK, [prompt], [example])
    logits = model(torch.tensor([row.ids])).logits[0]
    return logits[len(row.ids) - row.answer - 1 : -1].log_softmax(-1), row.ids[-row.answer :]


def test_consistency_is_cross_entropy_plus_the_divergence_from_the_mean_over_prompts():
    [step_rows], loss, _ = term("consistency", "tree")
    by_example = {}
    for example, prompt in zip(step_rows.examples, step_rows.prompts, strict=True):
        by_example.setdefault(example.id, (example, []))[1].append(prompt)
    model = lora_model()
    entropy = divergence = tokens = 0
    for example, prompts in by_example.values():
        assert len(prompts) == len(set(prompts)) == 3
        distributions = [log_probs(model, example, prompt) for prompt in prompts]
        mean = sum(p.exp() for p, _ in distributions) / 3
        for p, answer in distributions:
            entropy -= sum(p[i, token] for i, token in enumerate(answer))
            divergence += (p.exp() * (p - mean.log())).sum()
            tokens += len(answer)
    assert loss == pytest.approx(((entropy + 2.0 * divergence) / tokens).item(), abs=1e-4)
    assert divergence / tokens > 1e-4


def test_calibration_is_cross_entropy_plus_the_shift_of_the_mean_prediction_under_each_prompt():
    [step_rows], loss, _ = term("calibration", "tree")
    first = [FORMAT.answer(label)[0] for label in TASK.labels]
    model = lora_model()
    entropy = tokens = shift = 0
    assert len(set(step_rows.prompts)) == 2
    for prompt in set(step_rows.prompts):
        examples = [e for e, p in zip(step_rows.examples, step_rows.prompts, strict=True) if p == prompt]
        predictions = []
        for example in examples:
            p, answer = log_probs(model, example, prompt)
            entropy -= sum(p[i, token] for i, token in enumerate(answer))
            tokens += len(answer)
            predictions.append(p[0, first].exp() / p[0, first].exp().sum())
        mean = sum(predictions) / len(examples)
        for label in range(3):
            frequency = sum(example.target == label for example in examples) / len(examples)
            if frequency:
                shift += len(examples) * frequency * (math.log(frequency) - mean[label].log())
    assert loss == pytest.approx((entropy / tokens + 2.0 * shift / 6).item(), abs=1e-4)
    assert shift > 0


def test_noise_is_that_of_neftune_on_prompt_tokens_alone_and_shared_where_rows_are():
    [step_rows], _, _ = term("noise", "tree")
    model = lora_model()
    engine = Engine(model, FORMAT)
    tokens = rows(engine, TASK, step_rows.prompts, step_rows.examples)
    noise = PromptNoise(5.0, 0)
    width = max(len(row.ids) for row in tokens) - 1
    values = noise.of(StepNoise(3, tokens).plan(tokens, width), torch.zeros(6, width, 32))
    for i, row in enumerate(tokens):
        prompt = len(row.ids) - row.answer
        assert not values[i, prompt:].any()
        assert values[i, :prompt].abs().min(-1).values.max() > 0
        own = [other for other in tokens if other.ids[:prompt] == row.ids[:prompt]]
        assert len(own) == 1
        limit = 5 / math.sqrt((len(row.ids) - 1) * 32)
        assert 0.9 * limit < values[i, prompt - 2 : prompt].abs().max() <= limit + 1e-6
        assert values[i, prompt - 2 : prompt].std().item() == pytest.approx(limit / math.sqrt(3), rel=0.2)
    assert values[0, 0].equal(values[2, 0])  # of one prompt
    same_again = noise.of(StepNoise(3, tokens).plan(tokens, width), torch.zeros(6, width, 32))
    assert same_again.equal(values)
    assert not noise.of(StepNoise(4, tokens).plan(tokens, width), torch.zeros(6, width, 32)).equal(values)
    packed = StepNoise(3, tokens).plan(tokens, None)
    assert noise.of(packed, torch.zeros(*packed.index.shape, 32)).abs().sum() < values.abs().sum()


def run(folder, name, **changes):
    return fit(folder, PROMPTS, **TERMS[name], **changes)


@pytest.mark.parametrize("name", ["consistency", "noise"])
def test_accumulation_is_a_larger_batch_with_a_term(tmp_path, name):
    whole = run(tmp_path / "a", name)
    parts = run(tmp_path / "b", name, batch_size=2, gradient_accumulation_steps=2)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-4)
    keys = ("prompt_ids", "examples")
    assert [[row[key] for key in keys] for row in parts] == [[row[key] for key in keys] for row in whole]


@pytest.mark.parametrize("name", TERMS)
def test_a_term_learns_and_depends_on_the_seed_alone_also_when_it_is_resumed(tmp_path, monkeypatch, name):
    whole = run(tmp_path / "whole", name, save_steps=2)
    assert losses(whole)[-1] < losses(whole)[0]
    assert [row["examples"] for row in whole] == [4, 4, 3] * 3
    assert losses(run(tmp_path / "other", name, seed=1)) != losses(whole)

    with stopped_at(5, monkeypatch):
        run(tmp_path / "parts", name, save_steps=2)
    resumed = run(tmp_path / "parts", name, save_steps=2)
    assert losses(resumed) == losses(whole)
    assert [row["prompt_ids"] for row in resumed] == [row["prompt_ids"] for row in whole]
    for key, tensor in adapter(tmp_path / "whole").items():
        assert tensor.equal(adapter(tmp_path / "parts")[key])


def test_noise_changes_the_training_and_is_gone_after_it(tmp_path):
    from test_training import engine

    trained = engine()
    noisy = fit(tmp_path / "a", PROMPTS, model=trained, sampler=TWO_PER_STEP, prompt_noise=5.0)
    plain = fit(tmp_path / "b", PROMPTS, sampler=TWO_PER_STEP)
    assert losses(noisy) != losses(plain)
    assert losses(noisy) == pytest.approx(losses(plain), rel=0.3)
    assert not trained.model.get_input_embeddings()._forward_hooks


def test_consistency_asks_each_example_under_different_prompts(tmp_path):
    [step_rows], _, _ = term("consistency", "tree")
    assert len(step_rows.examples) == 18
    assert step_rows.examples_in_step == 6
    assert [e.id for e in step_rows.examples[:6]] == [e.id for e in step_rows.examples[6:12]]
    log = run(tmp_path, "consistency")
    assert all(len(row["prompt_ids"]) == 4 for row in log)


@pytest.mark.parametrize("sampler", ["uniform", {"name": "mixed", "prompts_per_step": 2}])
def test_consistency_needs_a_sampler_with_enough_prompts_in_a_step(tmp_path, sampler):
    with pytest.raises(
        UserError, match=r"Consistency compares 3 prompts of each example, but the sampler .* gives"
    ):
        fit(tmp_path, PROMPTS, objective=CONSISTENCY, sampler=sampler)


def test_consistency_needs_a_method_with_enough_prompts(tmp_path):
    with pytest.raises(UserError, match=r"compares 3 prompts of each example, but the method trains on 2"):
        fit(tmp_path, PROMPTS[:2], objective=CONSISTENCY, sampler="mixed")


def test_prompts_per_step_may_be_as_many_as_the_rows_of_a_step(tmp_path):
    fit(tmp_path, PROMPTS, objective="consistency", sampler={"name": "mixed", "prompts_per_step": 8})
    with pytest.raises(UserError, match="9 prompts for the 8 examples"):
        fit(tmp_path / "b", PROMPTS, objective="consistency", sampler={"name": "mixed", "prompts_per_step": 9})


def test_calibration_over_several_forwards_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"Calibration needs all rows of a step in one forward, but there are 2"):
        run(tmp_path, "calibration", batch_size=2, gradient_accumulation_steps=2)


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (Task("t", ("thing",), None, "text", 0.85, 0), "needs the same labels or letters in every example"),
        (Task("t", ("thing",), None, "label", 0.85, 2), "needs the same labels or letters in every example"),
        (Task("t", ("thing",), None, "letter", 0.85, 0), "needs the same labels or letters in every example"),
        (Task("t", ("thing",), ("red", "rose"), "label", 0.85, 2), "'red' and 'rose' begin with the same one"),
    ],
)
def test_calibration_refuses_a_task_whose_labels_it_cannot_tell_apart(task, line):
    with pytest.raises(UserError, match=line):
        make_objective("calibration").bind(task, FORMAT)


@pytest.mark.parametrize(
    "task",
    [
        Task("t", ("thing",), None, "letter", 0.85, 4),
        Task("t", ("thing",), ("red", "rose"), "letter", 0.85, 2),
        Task("t", ("thing",), ("1", "2", "3"), "label", 0.85, 3),
    ],
)
def test_calibration_takes_letters_and_labels_that_differ_at_once(task):
    make_objective("calibration").bind(task, FORMAT)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"name": "consistency", "weight": -1}, "training.objective.weight takes a number of 0 or more"),
        (
            {"name": "consistency", "prompts_per_example": 1},
            "prompts_per_example takes a whole number of 2 or more",
        ),
        ({"name": "calibration", "lambda": 1}, "training.objective.lambda is unknown"),
    ],
)
def test_a_wrong_setting_of_an_objective_names_its_key(setting, line):
    with pytest.raises(UserError, match=line):
        make_objective(setting)


class Spread(Objective):
    """An objective of one's own that takes each example under two prompts."""

    prompts_per_example = 2

    def loss(self, rows):
        first, second = rows.row_losses.chunk(2)
        return (first + second + (first - second) ** 2).sum() / rows.examples_in_step


def test_an_objective_of_ones_own_may_take_several_prompts_per_example(tmp_path):
    whole = fit(tmp_path / "a", PROMPTS, objective=Spread, sampler="mixed")
    parts = fit(
        tmp_path / "b", PROMPTS, objective=Spread, sampler="mixed", batch_size=2, gradient_accumulation_steps=2
    )
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-3)
    assert [row["examples"] for row in whole] == [4, 4, 3] * 3


def test_noise_of_the_trainer_itself_is_refused(tmp_path):
    from test_mixin import SETTINGS, Plain, data

    args = TrainingArguments(output_dir=str(tmp_path), **SETTINGS, neftune_noise_alpha=5)
    with pytest.raises(UserError, match=r"neftune_noise_alpha: .*use prompt_noise instead"):
        Plain(args, data(make_model()))


def test_a_trainer_of_ones_own_takes_samplers_that_ask_for_losses_and_noise(tmp_path):
    from test_mixin import SETTINGS, Plain, data
    from test_mixin import losses as losses_of

    logs = []
    for noise in (None, 5.0):
        model = get_peft_model(make_model(), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
        args = TrainingArguments(output_dir=str(tmp_path), **SETTINGS)
        trainer = Plain(args, data(model, prompts=PROMPTS, sampler="hardest", prompt_noise=noise))
        trainer.train()
        assert min(losses_of(trainer)) < losses_of(trainer)[0]
        logs.append(losses_of(trainer))
    assert logs[0] != logs[1]
