"""Fine-tune with LoRA and dynamic prompts, by a Trainer with its data order and its loss replaced."""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate.utils import reduce
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, get_scheduler, set_seed

from paft.config.schema import LoraSection
from paft.errors import UserError, WorkError, one_line
from paft.models.adapters import apply_adapter, unload_adapter
from paft.training.data import PromptData, StepStats
from paft.training.lora import add_adapter
from paft.training.trainer import DynamicPrompts
from paft.utils.console import Console, Tick
from paft.utils.hf_internals import get_reporting_integration_callbacks
from paft.utils.io import read_log, write_jsonl


class PromptTrainer(DynamicPrompts, Trainer):
    """transformers.Trainer with dynamic prompts."""


class StepLog(TrainerCallback):
    """Appends one row per logged step to ``train.jsonl``; a resume drops the rows past its checkpoint."""

    def __init__(self, path: Path, stats: Mapping[int, StepStats], tick: Tick):
        self.path, self.stats, self.tick = path, stats, tick
        self.last_time, self.last_step = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the rows up to the step that training continues from."""
        if state.is_world_process_zero:
            write_jsonl(self.path, [row for row in read_log(self.path) if row["step"] <= state.global_step])
        self.last_time, self.last_step = time.perf_counter(), state.global_step
        self.tick(state.global_step, earlier=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log each step that is saved, and the last one, at any interval: a resume then starts after a row."""
        control.should_log |= control.should_save or state.global_step == state.max_steps

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the row."""
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise WorkError(
                f"the training loss is {logs['loss']} at step {state.global_step}, so training cannot go on; "
                "lower training.learning_rate, or set model.dtype=float32"
            )
        now = time.perf_counter()
        steps = [self.stats[step] for step in range(self.last_step, state.global_step)]
        counted = self.summed([sum(step.examples for step in steps), sum(step.tokens for step in steps)], args)
        row = {
            "step": state.global_step,
            "epoch": round(state.epoch, 6),
            "prompt_ids": list(dict.fromkeys(prompt_id for step in steps for prompt_id in step.prompt_ids)),
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "examples": counted[0],
            "tokens": counted[1],
            "seconds": round(now - self.last_time, 6),
            "prepare_seconds": round(sum(step.seconds for step in steps), 6),
        } | self.further(steps, args)
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        rate = row["examples"] / max(now - self.last_time, 1e-9)
        self.tick(len(steps), f"{self.headline(row)}, {rate:.1f} examples/s")
        self.last_time, self.last_step = now, state.global_step

    def summed(self, values: list[Any], args: Any) -> list[Any]:
        """Return numbers added up over the processes."""
        if args.world_size > 1:
            values = reduce(torch.tensor(values, device=args.device), "sum").tolist()
        return values

    def further(self, steps: Sequence[StepStats], args: Any) -> dict[str, Any]:
        """Return more columns of a row about some steps, for other trainings."""
        return {}

    def headline(self, row: dict[str, Any]) -> str:
        """Return what the progress bar shows of a row."""
        return f"loss {row['loss']:.3f}"

    @staticmethod
    def summary(folder: Path) -> str:
        """Return one line on a finished training, from its log."""
        log = read_log(folder / "train.jsonl")
        examples = sum(row["examples"] for row in log)
        seconds = sum(row["seconds"] for row in log)
        share = sum(row["prepare_seconds"] for row in log) / seconds
        return (
            f"training {folder.name}: {examples} examples in {seconds:.0f} s, {examples / seconds:.1f} per "
            f"second; sampling, rendering, tokenising and packing took {share:.1%} of it"
        )


@dataclass(frozen=True)
class AdapterTraining:
    """How an adapter is trained, and where it is kept.

    Attributes:
        folder: gets ``adapter/`` and ``train.jsonl``, and holds ``checkpoints/`` until the training is done.
        batch_size: examples of one forward of a process.
        arguments: further ``transformers.TrainingArguments``, ``num_train_epochs`` among them.
        init: an adapter that training starts from; None for a fresh one.
    """

    folder: Path
    lora: LoraSection
    batch_size: int
    arguments: Mapping[str, Any]
    console: Console
    init: Path | None = None


def finetune(data: PromptData, training: AdapterTraining) -> None:
    """Fine-tune the model of ``data`` and leave ``adapter/`` and ``train.jsonl`` in the training's folder.

    Resumes from the newest complete checkpoint in ``folder/checkpoints`` and removes the checkpoints when done.
    The model itself is left unchanged, unless FSDP or DeepSpeed has sharded it over the processes: then it cannot
    be used again. Several processes, each calling this, train together as one with so many times the batch.
    The seed of ``data`` is also that of the adapter's first weights.
    """
    train_adapter(data, training, lambda settings: PromptTrainer(settings, data), StepLog)


def train_adapter(
    data: PromptData,
    training: AdapterTraining,
    make_trainer: Callable[[TrainingArguments], PromptTrainer],
    log: type[StepLog],
) -> None:
    """Train an adapter with a trainer; see :func:`finetune` for what is kept and resumed.

    Args:
        make_trainer: returns the trainer of the model with the adapter.
    """
    engine, folder, console = data.engine, training.folder, training.console
    base = engine.model
    checkpoints = folder / "checkpoints"
    settings = trainer_settings(base.device.type, checkpoints, training.batch_size, data.seed, training.arguments)
    set_seed(data.seed)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        engine.model = add_adapter(base, training.lora)
        if training.init is not None:
            apply_adapter(engine.model, training.init)
        trainer = make_trainer(settings)
        trainer.remove_callback(PrinterCallback)
        steps = trainer.epoch_data.steps_per_epoch * int(trainer.args.num_train_epochs)
        is_main = trainer.is_world_process_zero()
        for prompt in trainer.prompt_sampler.extra_prompts:
            console.say(f"training {folder.name}: its sampler adds prompt {prompt.id}: {prompt.text!r}")
        with console.progress(f"training {folder.name}", steps) as tick:
            trainer.add_callback(log(folder / "train.jsonl", trainer.batches.stats, tick))
            checkpoint = newest_checkpoint(checkpoints)
            if checkpoint and (Path(checkpoint) / "adapter_model.safetensors").is_file():
                apply_adapter(engine.model, Path(checkpoint))  # the trainer, which does it again, ignores misfits
            try:
                trainer.train(resume_from_checkpoint=checkpoint)
            except UnpicklingError:  # torch loads plain values only: what else is in the file never runs
                raise UserError(
                    f"{checkpoint}: holds a file that is not part of a checkpoint; remove the folder"
                ) from None
            weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # all of them, also where sharded
        trainer.accelerator.wait_for_everyone()  # another process may still read what the main one removes
        if is_main:
            save_adapter(engine.model, folder / "adapter", weights)
    finally:
        if engine.model is not base:
            engine.model = unload_adapter(engine.model).requires_grad_(False).eval()
    if is_main:
        shutil.rmtree(checkpoints, ignore_errors=True)
        console.say(log.summary(folder))


def trainer_settings(
    device: str, folder: Path, batch_size: int, seed: int, arguments: Mapping[str, Any]
) -> TrainingArguments:
    """Return the Trainer's settings.

    Raises:
        UserError: a value that the Trainer, its optimizer or its learning rate schedule does not take, or a
            package that is not installed.
    """
    usual = {
        "save_total_limit": 2,
        "ddp_find_unused_parameters": False,  # a forward uses every adapter weight
        "logging_nan_inf_filter": False,  # it would log a loss that is not finite as 0
    }
    own = {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch_size,
        "seed": seed,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
    }
    try:
        settings = TrainingArguments(**(usual | dict(arguments) | own))
        for callback in get_reporting_integration_callbacks(settings.report_to):
            callback()  # fails where its package is not installed
        if not settings.optim_target_modules:  # with them it needs the model
            Trainer.get_optimizer_cls_and_kwargs(settings)
        one_weight = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
        special: Any = settings.lr_scheduler_kwargs
        get_scheduler(settings.lr_scheduler_type, one_weight, 1, 10, scheduler_specific_kwargs=special)
    except (ValueError, TypeError, ImportError, KeyError, RuntimeError) as error:
        raise UserError(f"config section training: {one_line(error)}") from None
    return settings


def save_adapter(model: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write the adapter into a temporary folder, then move it into place.

    Args:
        weights: of the model, where it has only a part of them.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary, state_dict=weights)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def newest_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint; skip one that a kill left without its last file."""
    states = [state for state in folder.glob("checkpoint-*/trainer_state.json") if _step_of(state) >= 0]
    for state in sorted(states, key=_step_of, reverse=True):
        try:
            json.loads(state.read_text(encoding="utf-8"))
        except ValueError:
            continue
        return str(state.parent)
    return None


def _step_of(state: Path) -> int:
    step = state.parent.name.removeprefix("checkpoint-")
    return int(step) if step.isdecimal() else -1
