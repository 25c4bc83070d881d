"""Dynamic prompts in the trainer that someone has already: TRL's SFTTrainer and a plain Trainer."""

import pytest
import torch
from peft import LoraConfig
from transformers import Trainer, TrainingArguments

from conftest import COLOURS, make_model, make_tokenizer, things
from paft.errors import UserError
from paft.training.prefix import SharedPrefix
from paft.training.samplers import UniformSampler
from paft.training.trainer import DynamicPrompts, prompt_data

PROMPTS = [f"form {i}: {{thing}} {{choices}} {'?' * i}" for i in range(5)]
LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
SETTINGS = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "bf16": False,
    "seed": 0,
}


class Plain(DynamicPrompts, Trainer):
    pass


def data(model, **changes):
    task = {"fields": ["thing"], "choices": COLOURS, "target": "colour"}
    return prompt_data(model, make_tokenizer(), things(10), **({"prompts": PROMPTS, "K": 2} | task | changes))


def losses(trainer):
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def plain(folder, **settings):
    from peft import get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(make_model(), LORA)
    return Plain(TrainingArguments(output_dir=str(folder), **SETTINGS | settings), data(model))


def sft(folder, **settings):
    trl = pytest.importorskip("trl")

    class Sft(DynamicPrompts, trl.SFTTrainer):
        pass

    torch.manual_seed(0)
    model = make_model()
    usual = SETTINGS | {"gradient_checkpointing": False}
    args = trl.SFTConfig(output_dir=str(folder), **usual | settings)
    return Sft(args, data(model), processing_class=make_tokenizer(), peft_config=LORA)


def test_free_text_is_trained_on_its_first_accepted_answer():
    rows = [{"A thing": row["thing"], "colour": [f"It is {row['colour']}.", row["colour"]]} for row in things(4)]
    made = prompt_data(
        make_model(),
        make_tokenizer(),
        rows,
        ["Colour of {thing}?", "{thing}:"],
        fields={"thing": "A thing"},
        target="colour",
    )
    assert not made.task.has_options
    assert made.examples[0].fields == {"thing": rows[0]["A thing"]}
    assert [made.task.target(example) for example in made.examples] == [row["colour"][0] for row in rows]


@pytest.mark.parametrize("make", [plain, sft])
def test_a_trainer_with_the_mixin_follows_the_schedule_and_learns(tmp_path, make, monkeypatch):
    trainer = make(tmp_path)
    asked = []
    call = type(trainer.batches).__call__
    monkeypatch.setattr(
        type(trainer.batches),
        "__call__",
        lambda self, batches: asked.append([{i.step for i in items} for items in batches]) or call(self, batches),
    )
    trainer.train()
    assert asked == [[{0}, {0}], [{1}, {1}], [{2}], [{3}, {3}], [{4}, {4}], [{5}]]
    assert isinstance(trainer.prompt_sampler, UniformSampler)
    assert trainer.epoch_data.steps_per_epoch == 3
    assert len(losses(trainer)) == 6
    assert losses(trainer)[-1] < losses(trainer)[0]
    moved = [p.abs().max() > 0 for name, p in trainer.model.named_parameters() if "lora_B" in name]
    assert len(moved) == 4
    assert all(moved)


def begin_alike(one, other):
    """Give both trainers' adapters the same start."""
    trained = [[p for p in t.model.parameters() if p.requires_grad] for t in (one, other)]
    with torch.no_grad():
        for source, copy in zip(*trained, strict=True):
            copy.copy_(source)


def test_trl_and_the_plain_trainer_give_the_same_losses(tmp_path):
    one, other = plain(tmp_path / "a"), sft(tmp_path / "b")
    begin_alike(one, other)
    one.train()
    other.train()
    assert losses(one) == pytest.approx(losses(other), abs=1e-4)


def test_trls_own_defaults_give_the_losses_within_their_rounding(tmp_path):
    """bfloat16 autocast and gradient checkpointing, which ``SFTConfig`` turns on by itself."""
    one, other = sft(tmp_path / "a"), sft(tmp_path / "b", bf16=True, gradient_checkpointing=True)
    begin_alike(one, other)
    one.train()
    other.train()
    assert losses(one) == pytest.approx(losses(other), rel=0.02)


def test_what_forwards_begin_with_is_computed_in_the_trainers_precision(tmp_path, monkeypatch):
    """TRL wraps the model that paft was given, and only the wrapper has autocast."""
    dtypes, own = set(), SharedPrefix.cache

    def cache(prefix):
        made = own(prefix)
        dtypes.update(layer.values.dtype for layer in made.layers)
        return made

    monkeypatch.setattr("paft.training.prefix.WORTH", 1)
    monkeypatch.setattr(SharedPrefix, "cache", cache)
    sft(tmp_path, bf16=True, max_steps=1).train()
    assert dtypes == {torch.bfloat16}


@pytest.mark.parametrize(
    "setting",
    [
        {"label_smoothing_factor": 0.1},
        {"loss_type": "dft"},
        {"assistant_only_loss": True},
        {"packing": True},
        {"completion_only_loss": False},
    ],
)
def test_a_setting_for_another_loss_is_refused(tmp_path, setting):
    with pytest.raises(UserError, match=f"{next(iter(setting))}: the loss is taken on the answers alone"):
        sft(tmp_path, **setting)


@pytest.mark.parametrize(
    "setting", [{"max_length": 16}, {"shuffle_dataset": True}, {"train_sampling_strategy": "group_by_length"}]
)
def test_a_setting_for_rows_of_the_trainers_own_is_refused(tmp_path, setting):
    with pytest.raises(UserError, match=f"{next(iter(setting))}: rows and their order are made from prompt_data"):
        sft(tmp_path, **setting)


def test_rows_in_place_of_prompt_data_are_refused(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), **SETTINGS)
    with pytest.raises(UserError, match="data: expected what prompt_data returns, found list"):
        type("Plain", (DynamicPrompts, Trainer), {})(args, [{"text": "a"}])


@pytest.mark.parametrize(
    "name",
    [
        "model",
        "train_dataset",
        "data_collator",
        "eval_dataset",
        "compute_metrics",
        "compute_loss_func",
        "formatting_func",
    ],
)
def test_an_argument_that_would_have_no_effect_is_refused(tmp_path, name):
    trl = pytest.importorskip("trl")
    args = trl.SFTConfig(output_dir=str(tmp_path), **SETTINGS)
    with pytest.raises(UserError, match=f"{name}: .*; leave it out"):
        type("Sft", (DynamicPrompts, trl.SFTTrainer), {})(args, data(make_model()), **{name: print})


def test_a_batch_size_that_may_change_is_refused(tmp_path):
    with pytest.raises(UserError, match="auto_find_batch_size: prompts are drawn for steps of a known size"):
        plain(tmp_path, auto_find_batch_size=True)


def test_one_process_trains_on_one_gpu(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), **SETTINGS)
    args._n_gpu = 2  # as on a machine with two
    trainer = Plain(args, data(make_model()))
    assert args.n_gpu == 1
    assert trainer.epoch_data.step_size == 4


def test_accumulation_in_trl_is_a_larger_batch(tmp_path):
    parts = sft(tmp_path / "a")
    whole = sft(tmp_path / "b", per_device_train_batch_size=4, gradient_accumulation_steps=1)
    begin_alike(parts, whole)
    parts.train()
    whole.train()
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-4)


def test_a_prompt_that_does_not_fit_is_named():
    with pytest.raises(UserError, match=r"1 prompt\(s\) do not fit .*\{other\}"):
        data(make_model(), prompts=["{thing}", "{other}"])
    with pytest.raises(UserError, match="row 1: no column 'colours'; did you mean 'colour'"):
        data(make_model(), target="colours")
