"""Training by invariants: one prompt is plain fine-tuning, accumulation is a larger batch, resumed = uninterrupted."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import Trainer

from conftest import COLOURS, make_model, make_tokenizer
from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.training.data import EpochDataset, PromptData, epoch_order, filter_by_length, rows
from paft.training.finetune import AdapterTraining, PromptTrainer, finetune
from paft.training.lora import check_targets
from paft.training.samplers import UniformSampler
from paft.training.trainer import DynamicPrompts
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import read_log

TASK = Task("colours", ("thing",), tuple(COLOURS), "label", 0.85, 3)
EXAMPLES = [Example(str(i), {"thing": f"thing {i}"}, tuple(COLOURS), i % 3) for i in range(11)]
PROMPTS = [Prompt(f"form {i}: {{thing}} {'?' * i}") for i in range(7)]
QUIET = Console(quiet=True)


def engine(kind: str = "llama") -> Engine:
    return Engine(make_model(kind), ChatFormat(make_tokenizer()))


def fit(
    folder: Path,
    prompts=PROMPTS,
    examples=EXAMPLES,
    *,
    model=None,
    seed=0,
    K=2,
    batch_size=4,
    lora=None,
    sampler="uniform",
    objective="cross-entropy",
    prompt_noise=None,
    group_by=None,
    init=None,
    **arguments,
):
    arguments = {"num_train_epochs": 3, "learning_rate": 1e-2, "report_to": "none", "logging_steps": 1} | arguments
    data = PromptData(
        model or engine(), TASK, examples, prompts, K, seed, sampler, objective, prompt_noise, group_by
    )
    finetune(data, AdapterTraining(folder, lora or LoraSection(), batch_size, arguments, QUIET, init))
    return read_log(folder / "train.jsonl")


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter/adapter_model.safetensors")


def losses(log: list[dict]) -> list[float]:
    return [row["loss"] for row in log]


def test_training_is_plain_fine_tuning_by_hand(tmp_path):
    """Every step redone without Trainer, schedule or packing: same prompts, same losses."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    log = fit(tmp_path, lr_scheduler_type="constant", warmup_steps=0)
    base = make_model()
    set_seed(0)
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
    form = ChatFormat(make_tokenizer())
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0)
    sampler = UniformSampler(PROMPTS, K=2, steps_per_epoch=3, seed=0)
    step = 0
    for epoch in range(3):
        order = epoch_order(len(EXAMPLES), 0, epoch)
        for start in range(0, len(EXAMPLES), 4):
            assert log[step]["prompt_ids"] == [sampler.prompt_of(step).id]
            total, count = torch.zeros(()), 0
            for index in order[start : start + 4]:
                example = EXAMPLES[index]
                [ids] = form.prompts([render(sampler.prompt_of(step), TASK, example)])
                answer = form.answer(TASK.target(example)) + form.end
                logits = model(torch.tensor([ids + answer])).logits[0].log_softmax(-1)
                total = total - sum(logits[len(ids) + i - 1, token] for i, token in enumerate(answer))
                count += len(answer)
            (total / count).backward()
            assert log[step]["loss"] == pytest.approx((total / count).item(), abs=1e-4)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
    assert step == len(log) == 9


def test_a_pool_of_one_prompt_gives_the_fixed_prompts_losses_step_for_step(tmp_path):
    pool = fit(tmp_path / "a", prompts=PROMPTS[:1], K=1)
    fixed = fit(tmp_path / "b", prompts=PROMPTS[:1], K=1000)
    assert losses(pool) == losses(fixed)
    assert all(row["prompt_ids"] == [PROMPTS[0].id] for row in pool)


def test_accumulation_is_a_larger_batch(tmp_path):
    whole = fit(tmp_path / "a", batch_size=4)
    parts = fit(tmp_path / "b", batch_size=2, gradient_accumulation_steps=2)
    assert [row["prompt_ids"] for row in parts] == [row["prompt_ids"] for row in whole]
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    for name, tensor in adapter(tmp_path / "a").items():
        torch.testing.assert_close(tensor, adapter(tmp_path / "b")[name], atol=1e-5, rtol=1e-4)


def test_a_training_starts_from_the_adapter_that_it_is_given(tmp_path):
    fit(tmp_path / "first", num_train_epochs=1)
    fit(tmp_path / "second", num_train_epochs=1, seed=1, learning_rate=0.0, init=tmp_path / "first/adapter")
    first, second = adapter(tmp_path / "first"), adapter(tmp_path / "second")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class StoppedError(Exception):
    pass


@contextmanager
def stopped_at(step, monkeypatch):
    """Let the training inside the block, which must reach it, die once a step is logged."""
    from paft.training.finetune import StepLog

    on_log = StepLog.on_log

    def dying(self, args, state, control, **kwargs):
        on_log(self, args, state, control, **kwargs)
        if state.global_step == step:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(StepLog, "on_log", dying)
        with pytest.raises(StoppedError):
            yield


def test_a_step_of_grouped_examples_computes_what_they_share_once_and_resumes_as_uninterrupted(
    tmp_path, monkeypatch
):
    things = [f"passage {i % 4} " * 9 for i in range(16)]
    examples = [Example(str(i), {"thing": thing}, tuple(COLOURS), i % 3) for i, thing in enumerate(things)]
    how = {"prompts": [Prompt("{thing}")], "examples": examples, "num_train_epochs": 2, "save_steps": 2}
    apart = fit(tmp_path / "apart", **how)
    together = fit(tmp_path / "together", group_by="thing", **how)
    assert sum(row["tokens"] for row in together) < 0.6 * sum(row["tokens"] for row in apart)
    with stopped_at(3, monkeypatch):
        fit(tmp_path / "parts", group_by="thing", **how)
    resumed = fit(tmp_path / "parts", group_by="thing", **how)
    assert losses(resumed) == losses(together)


@pytest.mark.parametrize(
    ("logging_steps", "stops", "steps"), [(1, (2, 3, 4), list(range(1, 10))), (5, (4,), [2, 4, 5, 6, 8, 9])]
)
def test_resumed_is_uninterrupted(tmp_path, monkeypatch, logging_steps, stops, steps):
    """Stopped within and at the end of an epoch, after steps past the last checkpoint."""
    often = {"save_steps": 2, "logging_steps": logging_steps}
    whole = fit(tmp_path / "whole", **often)
    for stop in stops:
        parts = tmp_path / f"parts{stop}"
        with stopped_at(stop + 1, monkeypatch):
            fit(parts, **often)
        with (parts / "train.jsonl").open("a") as file:
            file.write('{"step": 99, "lo')
        resumed = fit(parts, **often)
        assert [row["step"] for row in resumed] == steps
        assert sum(row["examples"] for row in resumed) == 3 * len(EXAMPLES)
        keys = ("step", "prompt_ids", "loss", "learning_rate", "examples", "tokens")
        assert [[r[k] for k in keys] for r in resumed] == [[r[k] for k in keys] for r in whole]
        for name, tensor in adapter(tmp_path / "whole").items():
            assert torch.equal(tensor, adapter(parts)[name])
        assert not (parts / "checkpoints").exists()


def test_packed_training_is_padded_training(tmp_path):
    padded = engine()
    padded.batch_format = "padded"
    left, right = fit(tmp_path / "a"), fit(tmp_path / "b", model=padded)
    assert losses(left) == pytest.approx(losses(right), abs=1e-4)
    assert sum(r["tokens"] for r in left) < sum(r["tokens"] for r in right)


@pytest.mark.parametrize(("kind", "targets", "epochs"), [("mamba", "in_proj", 3), ("bloom", "query_key_value", 8)])
def test_a_model_that_cannot_be_packed_is_trained_on_right_padded_batches(tmp_path, kind, targets, epochs):
    lora = LoraSection(target_modules=[targets])
    log = fit(tmp_path, model=engine(kind), lora=lora, num_train_epochs=epochs)
    assert losses(log)[-1] < losses(log)[0]


def test_every_example_meets_k_steps_of_one_prompt_and_all_epochs_are_run(tmp_path):
    log = fit(tmp_path, K=2, batch_size=2, num_train_epochs=2)
    assert [row["examples"] for row in log] == [2, 2, 2, 2, 2, 1] * 2
    ids = [row["prompt_ids"] for row in log]
    assert all(ids[i] == ids[i + 1] for i in (0, 2, 4, 6, 8, 10))
    assert log[-1]["epoch"] == 2


def test_the_model_is_left_unchanged_and_every_lora_weight_moves(tmp_path):
    own = engine()
    before = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    fit(tmp_path, model=own)
    assert own.model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.model.state_dict().items())
    weights = adapter(tmp_path)
    assert len(weights) == 8
    assert all(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_B" in name)


def test_the_seed_decides_and_another_seed_differs(tmp_path):
    first, again, another = (fit(tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert losses(first) == losses(again) != losses(another)


def test_positions_of_an_epoch_hold_each_example_once_and_count_steps_over_epochs():
    positions = EpochDataset(EXAMPLES, step_size=4, seed=3)
    for epoch in range(3):
        items = [positions[epoch * len(EXAMPLES) + place] for place in range(len(EXAMPLES))]
        assert sorted(int(item.example.id) for item in items) == list(range(len(EXAMPLES)))
        assert [item.step for item in items] == [epoch * 3 + place // 4 for place in range(len(EXAMPLES))]
        for step in range(epoch * 3, epoch * 3 + 3):
            of_step = [item for item in items if item.step == step]
            assert [item.example for item in of_step] == positions.step_examples(step)
            assert [item.place for item in of_step] == list(range(len(of_step)))


def test_examples_too_long_are_counted_and_never_cut():
    one = engine()
    long = Example("long", {"thing": "x" * 300}, tuple(COLOURS), 0)
    with pytest.raises(
        UserError, match=r"1 of 12 training examples are longer than training\.max_length=200 .*example long"
    ):
        filter_by_length(one, TASK, PROMPTS, [*EXAMPLES, long], max_length=200, drop=False)
    said: list[str] = []
    kept = filter_by_length(one, TASK, PROMPTS, [*EXAMPLES, long], max_length=200, drop=True, say=said.append)
    assert kept == EXAMPLES
    assert "1 of 12" in said[0]
    with pytest.raises(UserError, match="11 of 11"):
        filter_by_length(one, TASK, PROMPTS, EXAMPLES, max_length=10, drop=True)


def test_no_example_goes_beyond_the_length_under_any_prompt():
    """A short prompt that says the field twice is the longer one for a long example."""
    one, said = engine(), list[str]()
    prompts = [Prompt("{thing} {thing}"), Prompt(f"{'word ' * 12}{{thing}}"), Prompt("{thing}")]
    examples = [Example(str(n), {"thing": "x" * n}, tuple(COLOURS), 0) for n in (2, 30, 60, 90)]
    kept = filter_by_length(one, TASK, prompts, examples, max_length=160, drop=True, say=said.append)
    longest = max(len(row.ids) for p in prompts for row in rows(one, TASK, [p] * len(kept), kept))
    assert longest <= 160
    assert [example.id for example in kept] == ["2", "30", "60"]
    assert prompts[0].id in said[0]


@pytest.mark.parametrize(("kind", "there"), [("llama", "q_proj"), ("gpt2", "c_attn")])
def test_lora_targets_that_the_model_lacks_are_named_with_those_it_has(kind, there):
    check_targets(make_model(kind), [there])
    with pytest.raises(
        UserError, match=rf"training\.lora\.target_modules: the model has no linear layer 'query'.*{there}"
    ):
        check_targets(make_model(kind), [there, "query"])


def test_the_adapter_loads_with_plain_peft_and_changes_the_model(tmp_path):
    from peft import PeftModel

    fit(tmp_path)
    base = make_model()
    ids = torch.tensor([[5, 6, 7]])
    before = base(ids).logits
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapter")
    assert not torch.allclose(tuned(ids).logits, before)
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["r"] == 8


def test_a_half_written_checkpoint_is_skipped(tmp_path):
    from paft.training.finetune import newest_checkpoint

    assert newest_checkpoint(tmp_path) is None
    for step, whole in ((5, True), (10, True), (20, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-20/trainer_state.json").write_text('{"global_st')
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    shutil.rmtree(tmp_path / "checkpoint-10")
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-5")


def test_the_trainer_is_overridden_in_the_data_and_the_loss_only():
    own = {name for cls in (PromptTrainer, DynamicPrompts) for name in vars(cls) if callable(getattr(cls, name))}
    overridden = {name for name in own if not name.startswith("__") and hasattr(Trainer, name)}
    assert overridden == {"_get_train_sampler", "get_batch_samples", "compute_loss"}


def test_tied_weights_take_no_adapter():
    """Merging it would change the embeddings too."""
    check_targets(make_model(), ["lm_head"])
    with pytest.raises(UserError, match="'lm_head' shares its weights between the embeddings"):
        check_targets(make_model(tie_word_embeddings=True), ["q_proj", "lm_head"])
