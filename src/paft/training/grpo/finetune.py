"""Train an adapter by GRPO, from the base model or from a finished adapter."""

import json
from pathlib import Path

from transformers import TrainingArguments

from paft.config.schema import LoraSection
from paft.engine.engine import Engine
from paft.errors import UserError
from paft.models.adapters import check_adapter, other_base
from paft.training.data import PromptData
from paft.training.finetune import AdapterTraining, newest_checkpoint, train_adapter
from paft.training.grpo.trainer import FlatStop, GroupData, GroupLog, GroupTrainer
from paft.training.grpo.validation import BestAdapter, Validation
from paft.utils.distributed import ALONE


def finetune_groups(
    data: PromptData, groups: GroupData, training: AdapterTraining, validation: Validation | None = None
) -> None:
    """Train the model of ``data`` on groups of its own answers, and leave what ``finetune`` leaves.

    Resumes as :func:`~paft.training.finetune.finetune` does; the answers of a step depend on the seed, the step
    and the weights, so a resumed training equals an uninterrupted one.

    Args:
        data: without the validation's prompts and examples.
        validation: what the adapter is measured on; the best one is left. The last one when left out.

    Raises:
        UserError: no group of the first steps has answers of different reward, or the model cannot be trained so.
        WorkError: the reward failed.
    """
    if ALONE.is_sharded:
        raise UserError(
            "method grpo: answers cannot be sampled from a model that FSDP or DeepSpeed shards over processes; "
            "start paft with torchrun, which gives each process the whole model"
        )
    folder, console = training.folder, training.console

    def make_trainer(settings: TrainingArguments) -> GroupTrainer:
        trainer = GroupTrainer(settings, data, groups)
        if newest_checkpoint(folder / "checkpoints") is None:
            trainer.check_spread(console, starts_from_base=training.init is None)
        trainer.add_callback(FlatStop(trainer.batches, groups.settings.max_flat_steps, console, folder.name))
        if validation is not None:
            console.say(f"training {folder.name}: {validation.describe()}")
            trainer.add_callback(BestAdapter(validation, trainer.batches, folder / "checkpoints"))
        return trainer

    train_adapter(data, training, make_trainer, GroupLog)


def check_init(folder: Path, engine: Engine, lora: LoraSection, key: str) -> None:
    """Refuse an adapter of another model, or of another shape than the one that is trained.

    Args:
        engine: the model that is trained.
        key: the config key that names the adapter, for messages.

    Raises:
        UserError: it is another, or damaged.
    """
    check_adapter(folder, f"config key {key}: ")
    name = engine.model.name_or_path
    if base := other_base(folder, name):
        raise UserError(f"config key {key}: {folder} was made for another model, {base}; the model here is {name}")
    stored = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    extra = lora.model_extra or {}
    wanted = {"r": ("r", lora.r), "alpha": ("lora_alpha", lora.alpha)}
    wanted |= {flag: (flag, extra.get(flag, False)) for flag in ("use_rslora", "use_dora")}
    for own, (theirs, value) in wanted.items():
        if stored.get(theirs, value) != value:
            raise UserError(
                f"config key {key}: {folder} has {theirs} {stored[theirs]}, training.lora.{own} is {value}; set "
                "it to the adapter's"
            )
