"""Training examples per second: paft, TRL's SFTTrainer and a plain transformers.Trainer.

    python benchmarks/training.py --task trec
    python benchmarks/training.py --task hellaswag
    python benchmarks/training.py --task trec --shots 8
    python benchmarks/training.py --task trec --shots 8 --accumulation 4
    python benchmarks/training.py --task race-middle --group article
    python benchmarks/training.py --task trec --model gemma-3-270m.gguf --template none

All sides use the same model, LoRA settings, data type, batches, prompts and examples, token for token. The peers
receive rows that are already tokenised, in paft's order (with ``--group`` that of ``training.group_by``); paft
renders and tokenises during training. TRL runs without gradient checkpointing, which is faster than its default;
`trl-default` uses TRL's default settings. Without TRL installed, the rest is compared.

With ``--accumulation``, a batch comes in so many forwards, and paft is compared with itself: `paft-repeated`
computes what they begin with in each of them, and `paft-one-forward` packs the batch as one.
"""

import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from side_by_side import Job, Side, arguments, case, compare, job_of, left_out, whole_groups
from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from paft.engine.engine import Engine
from paft.engine.pack import packed
from paft.training.data import EpochDataset, PromptData, rows
from paft.training.samplers import UniformSampler
from paft.training.trainer import DynamicPrompts


class Stopwatch(TrainerCallback):
    """Records the time of every optimiser step; the rate excludes the first, which also starts the data loader."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reset the records."""
        self.times: list[float] = []
        self.cpu_times: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the time."""
        self.times.append(time.perf_counter())
        self.cpu_times.append(time.process_time())

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the loss."""
        self.losses += [row["loss"] for row in [kwargs["logs"]] if "loss" in row]

    @property
    def rate(self) -> float:
        """Steps per second."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])

    @property
    def cpu_seconds(self) -> float:
        """Seconds of all cores together per step; other jobs on the machine affect them less."""
        return (self.cpu_times[-1] - self.cpu_times[0]) / (len(self.times) - 1)


class PaftTrainer(DynamicPrompts, Trainer):
    """A plain Trainer with dynamic prompts, as in `paft run`."""


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", steps=9, batch=8, length=600, group="", accumulation=1)
    job = job_of(options)
    short = [e for e in job.train if _length(job, e) <= options.length]
    examples = whole_groups(short, options.group, options.steps * options.batch)
    group_by = options.group or None
    data = PromptData(job.engine, job.task, examples, job.prompts.train, K=4, seed=0, group_by=group_by)
    tokens = {"packed_tokens": sum(packed(r)["input_ids"].numel() for r in batches(data, options.batch))}
    if group_by:
        ungrouped = batches(replace(data, group_by=None), options.batch)
        tokens["packed_tokens_in_random_order"] = sum(packed(r)["input_ids"].numel() for r in ungrouped)
    tokenised = rows_in_order(data, options.batch)
    tokens["row_tokens"] = sum(len(row) for row in tokenised["input_ids"])
    print(f"{len(examples)} examples: {tokens}", file=sys.stderr, flush=True)
    settings = {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": options.batch,
        "num_train_epochs": 1,
        "learning_rate": 1e-4,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
    }
    in_order = settings | {"train_sampling_strategy": "sequential"}
    watch = Stopwatch()

    def side(make: Any) -> Side:
        trainer = None

        def run() -> float:
            nonlocal trainer
            if trainer is None:
                trainer = make()
                trainer.remove_callback(PrinterCallback)
                trainer.add_callback(watch)
            trainer.train()
            first_losses.setdefault(make.__name__, watch.losses[0])
            cpu_seconds.setdefault(make.__name__, []).append(round(watch.cpu_seconds, 3))
            return watch.rate * options.batch

        return run

    first_losses: dict[str, float] = {}
    cpu_seconds: dict[str, list[float]] = {}

    def paft(accumulation: int = options.accumulation) -> Any:
        engine = Engine(adapted(job), job.engine.format)
        parts = {"per_device_train_batch_size": options.batch // accumulation}
        args = TrainingArguments(**settings | parts, gradient_accumulation_steps=accumulation)
        return PaftTrainer(args, replace(data, engine=engine))

    def paft_repeated() -> Any:
        trainer = paft()
        trainer.batches.shares_prefix = lambda: False
        return trainer

    def paft_one_forward() -> Any:
        return paft(accumulation=1)

    def trl(**more: Any) -> Any:
        from trl import SFTConfig, SFTTrainer

        args = SFTConfig(**in_order, max_length=None, **({"gradient_checkpointing": False} | more))
        return SFTTrainer(adapted(job), args, train_dataset=tokenised, processing_class=job.tokenizer)

    def trl_default() -> Any:
        return trl(gradient_checkpointing=True)

    def plain() -> Any:
        collator = DataCollatorForSeq2Seq(job.tokenizer)
        args = TrainingArguments(**in_order)
        return Trainer(adapted(job), args, train_dataset=tokenised, data_collator=collator)

    missing: list[str] = []
    if options.accumulation > 1:
        others = {"paft-repeated": side(paft_repeated), "paft-one-forward": side(paft_one_forward)}
    else:
        missing = left_out("trl")
        peers = {} if missing else {"trl": side(trl), "trl-default": side(trl_default)}
        others = peers | {"trainer": side(plain)}
    compare(
        case("training", options),
        "examples",
        {"paft": side(paft)} | others,
        options,
        left_out=missing,
        steps=-(-len(examples) // options.batch),
        batch=options.batch,
        **tokens,
        first_losses=first_losses,
        cpu_seconds_per_step=cpu_seconds,  # the warm-up first
    )


def adapted(job: Job) -> Any:
    """Return the model with a new adapter, initialised with the same seed each time."""
    torch.manual_seed(0)
    return get_peft_model(
        job.twin(), LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )


def batches(data: PromptData, batch: int) -> list[list[Any]]:
    """Return the rows of each step, as paft orders them."""
    steps = -(-len(data.examples) // batch)
    sampler = UniformSampler(data.prompts, K=data.K, steps_per_epoch=steps, seed=data.seed)
    epoch = EpochDataset(data.examples, batch, data.seed, group_by=data.group_by)
    step_examples = map(epoch.step_examples, range(steps))
    return [rows(data.engine, data.task, sampler.draw(s, batch), batch) for s, batch in enumerate(step_examples)]


def rows_in_order(data: PromptData, batch: int) -> Dataset:
    """Return the same rows, tokenised, for the other trainers."""
    flat = [row for step in batches(data, batch) for row in step]
    return Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in flat],
            "labels": [[-100] * (len(row.ids) - row.answer) + list(row.ids[-row.answer :]) for row in flat],
        }
    )


def _length(job: Job, example: Any) -> int:
    return len(rows(job.engine, job.task, [job.prompts.user], [example])[0].ids)


if __name__ == "__main__":
    main()
