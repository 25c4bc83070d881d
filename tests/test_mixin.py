"""Dynamic prompts in the trainer that someone has already: TRL's SFTTrainer and a plain Trainer."""

import pytest
import torch
from peft import LoraConfig
from transformers import Trainer, TrainingArguments

from conftest import COLOURS, make_model, make_tokenizer, things
from paft.errors import UserError
from paft.schedule import Schedule
from paft.training.mixin import DynamicPrompts, prompt_data

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
    args = trl.SFTConfig(output_dir=str(folder), gradient_checkpointing=False, **SETTINGS | settings)
    return Sft(args, data(model), processing_class=make_tokenizer(), peft_config=LORA)


@pytest.mark.parametrize("make", [plain, sft])
def test_a_trainer_with_the_mixin_follows_the_schedule_and_learns(tmp_path, make, monkeypatch):
    trainer = make(tmp_path)
    asked = []
    call = type(trainer.collator).__call__
    monkeypatch.setattr(
        type(trainer.collator),
        "__call__",
        lambda self, items: asked.append({i.step for i in items}) or call(self, items),
    )
    trainer.train()
    assert asked == [{0}, {0}, {1}, {1}, {2}, {3}, {3}, {4}, {4}, {5}]
    assert isinstance(trainer.collator.schedule, Schedule)
    assert trainer.positions.steps_per_epoch == 3
    assert len(losses(trainer)) == 6
    assert losses(trainer)[-1] < losses(trainer)[0]
    moved = [p.abs().max() > 0 for name, p in trainer.model.named_parameters() if "lora_B" in name]
    assert len(moved) == 4
    assert all(moved)


def test_trl_and_the_plain_trainer_give_the_same_losses(tmp_path):
    one, other = plain(tmp_path / "a"), sft(tmp_path / "b")
    one.train()
    other.train()
    assert losses(one)[0] == pytest.approx(losses(other)[0], abs=1e-4)  # later ones depend on the adapter's start


def test_accumulation_in_trl_is_a_larger_batch(tmp_path):
    parts = sft(tmp_path / "a")
    whole = sft(tmp_path / "b", per_device_train_batch_size=4, gradient_accumulation_steps=1)
    start = {name: p.detach().clone() for name, p in parts.model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, p in whole.model.named_parameters():
            if p.requires_grad:
                p.copy_(start[name])
    parts.train()
    whole.train()
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-4)


def test_a_prompt_that_does_not_fit_is_named():
    with pytest.raises(UserError, match=r"1 prompt\(s\) do not fit .*\{other\}"):
        data(make_model(), prompts=["{thing}", "{other}"])
    with pytest.raises(UserError, match="row 1: no column 'colours'; did you mean 'colour'"):
        data(make_model(), target="colours")
