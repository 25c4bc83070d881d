"""GRPO steps per second: paft, and TRL's GRPOTrainer with paft's prompts.

    python benchmarks/grpo.py --task trec

Both sides use the same model, LoRA settings, prompts, examples, answers per group and reward: the share of odd
token ids, so that groups differ whatever the model writes. TRL runs without gradient checkpointing, which is
faster than its default, and with bfloat16 autocast, its default. A fresh model rarely ends an answer, so most
have `--longest` tokens.
"""

import tempfile
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from side_by_side import Side, arguments, case, compare, job_of
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from paft.engine.engine import Engine
from paft.training.data import PromptData
from paft.training.grpo.mixin import DynamicPromptGroups
from paft.training.grpo.rewards import FunctionReward
from paft.training.grpo.settings import GroupSettings
from paft.training.grpo.trainer import GroupData, GroupTrainer


class Stopwatch(TrainerCallback):
    """Records the time of every optimiser step; the rate excludes the first."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reset the record."""
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the time."""
        self.times.append(time.perf_counter())

    @property
    def rate(self) -> float:
        """Steps per second."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


class TrlTrainer(DynamicPromptGroups, GRPOTrainer):
    """TRL's trainer with dynamic prompts."""


def odd(completion_ids: list[list[int]], **columns: Any) -> list[float]:
    """Return the share of odd token ids of each answer."""
    return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, task="trec", steps=5, batch=8, generations=8, longest=8)
    job = job_of(options)
    examples = job.train[: options.steps * options.batch]
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    settings = {
        "output_dir": tempfile.mkdtemp(),
        "num_train_epochs": 1,
        "learning_rate": 1e-5,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
    }
    watch = Stopwatch()

    def data(model: Any) -> PromptData:
        engine = Engine(model, job.engine.format)
        return PromptData(engine, job.task, examples, job.prompts.train, K=4, seed=0)

    def paft() -> Any:
        torch.manual_seed(0)
        groups = GroupData(
            GroupSettings(num_generations=options.generations),
            FunctionReward(odd, "odd", job.task, "reward"),
            options.longest,
        )
        args = TrainingArguments(**settings, per_device_train_batch_size=options.batch)
        return GroupTrainer(args, data(get_peft_model(job.twin(), lora)), groups)

    def trl() -> Any:
        args = GRPOConfig(
            **settings,
            per_device_train_batch_size=options.batch * options.generations,
            num_generations=options.generations,
            max_completion_length=options.longest,
            gradient_checkpointing=False,
        )
        return TrlTrainer(args, data(job.twin()), odd, processing_class=job.tokenizer, peft_config=lora)

    def side(make: Any) -> Side:
        trainer = None

        def run() -> float:
            nonlocal trainer
            if trainer is None:
                trainer = make()
                trainer.remove_callback(PrinterCallback)
                trainer.add_callback(watch)
            trainer.train()
            return watch.rate

        return run

    compare(
        case("grpo", options),
        "steps",
        {"paft": side(paft), "trl": side(trl)},
        options,
        steps=options.steps,
        batch=options.batch,
        generations=options.generations,
        longest=options.longest,
    )


if __name__ == "__main__":
    main()
