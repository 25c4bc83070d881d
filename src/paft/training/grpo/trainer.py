"""GRPO by a Trainer: its data order as for fine-tuning, its batches sampled, its loss that of the groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainingArguments

from paft.errors import UserError
from paft.training.data import EpochDataset, PromptData
from paft.training.finetune import PromptTrainer, StepLog
from paft.training.grpo.batches import GroupBatches, GroupDataset, Totals
from paft.training.grpo.loss import log_probs, policy_loss
from paft.training.grpo.parts import group_sampler
from paft.training.grpo.reference import Reference
from paft.training.grpo.rewards import RewardFunction
from paft.training.grpo.settings import GroupSettings
from paft.training.probe import ModelLosses
from paft.utils.console import Console
from paft.utils.io import read_log
from paft.utils.plugins import user_code

CHECKED_STEPS = 4
"""The steps whose groups are sampled to see that rewards differ, at most."""


@dataclass(frozen=True)
class GroupData:
    """What groups are made with, beside the prompts and examples.

    Attributes:
        longest: the most tokens of an answer.
        stop: an answer ends where one of these texts does.
    """

    settings: GroupSettings
    reward: RewardFunction
    longest: int
    stop: Sequence[str] = ()


class GroupTrainer(PromptTrainer):
    """The trainer of GRPO: groups of sampled answers, each to one example under one prompt.

    ``per_device_train_batch_size`` counts examples; each has ``num_generations`` answers in the same forward.
    """

    epoch_data: GroupDataset
    batches: GroupBatches

    def __init__(self, args: TrainingArguments, data: PromptData, groups: GroupData):
        self.group_data = groups  # for _prepare
        super().__init__(args, data)
        if data.engine.batch_format == "padded":
            raise UserError(
                "method grpo: this model runs with right-padded batches, which its sampling does not support; "
                "train it with TRL's GRPOTrainer and paft.training.grpo.mixin.DynamicPromptGroups"
            )
        if groups.settings.beta:
            self.batches.reference = Reference(data.engine.model)

    def _prepare(self, args: TrainingArguments, data: PromptData) -> None:
        """Make the sampler, the order of the examples, and what samples and builds the batches of a step."""
        groups, settings = self.group_data, self.group_data.settings
        step_size = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
        draws = EpochDataset(data.examples, step_size, data.seed, batch=step_size, group_by=data.group_by)
        self.epoch_data = GroupDataset(draws, settings.num_iterations)
        self.prompt_sampler = group_sampler(
            data, steps_per_epoch=draws.steps_per_epoch, examples_per_step=step_size
        )
        self.prompt_noise = None
        with user_code(f"the sampler {type(self.prompt_sampler).__name__}"):
            self.prompt_sampler.bind(ModelLosses(data.engine, data.task, args.world_size))
        self.batches = GroupBatches(
            data.engine,
            data.task,
            (*data.prompts, *self.prompt_sampler.extra_prompts),
            self.prompt_sampler,
            self.epoch_data,
            settings,
            groups.reward,
            seed=data.seed,
            longest=groups.longest,
            stop=groups.stop,
        )

    def _loss(self, tags: Any, logits: torch.Tensor, labels: torch.Tensor, count: Any) -> torch.Tensor:
        if tags.is_padding:
            return logits.float().sum() * 0  # every process needs gradients of every adapter weight
        settings = self.group_data.settings
        new = log_probs(logits, labels, tags.place, settings.temperature)
        loss, clipped = policy_loss(new, tags, count, self.group_data.longest, settings)
        stats = self.batches.stats[tags.step]
        stats.totals = stats.totals.plus(Totals(clipped=int(clipped)))
        return loss

    def check_spread(self, console: Console, *, starts_from_base: bool) -> None:
        """Refuse to train where the rewards of no group differ in the first steps.

        Args:
            starts_from_base: whether training starts without an adapter, for the message.

        Raises:
            UserError: nothing could be learned.
        """
        totals, lowest, highest = Totals(), float("inf"), -float("inf")
        args, seconds = self.args, 0.0
        for draw in range(min(CHECKED_STEPS, self.epoch_data.draws.steps_per_epoch)):
            places = range(len(self.epoch_data.draws.step_examples(draw)))[args.process_index :: args.world_size]
            self.batches.rollout_seconds = self.batches.reward_seconds = 0.0
            groups = self.batches.groups(draw, tuple(places))
            values = [value for group in groups for value in group.values]
            seconds = max(seconds, self.batches.reward_seconds)
            found = gather_object([(Totals.of(groups), min(values), max(values))])
            for other, low, high in found:
                totals, lowest, highest = totals.plus(other), min(lowest, low), max(highest, high)
            if totals.flat < totals.groups:
                break
        if seconds > 10:
            console.say(f"the reward takes {seconds:.0f} s of each step")
        if totals.flat < totals.groups:
            return
        raise UserError(_no_spread(totals, lowest, highest, starts_from_base))


def _no_spread(totals: Totals, lowest: float, highest: float, starts_from_base: bool) -> str:
    same = lowest == highest
    values = f"all have the reward {lowest:g}" if same else f"rewards are from {lowest:g} to {highest:g}"
    unread = f", {totals.unparsed:.0f} could not be read" if totals.unparsed else ""
    cut = f", {totals.cut:.0f} were cut off" if totals.cut else ""
    fix = "start from PAFT with init: paft, or check the reward" if starts_from_base else "check the reward"
    return (
        f"nothing can be learned: no group of the {totals.answers:.0f} sampled answers to {totals.groups:.0f} "
        f"examples has answers of different reward ({values}{unread}{cut}); {fix}"
    )


class GroupLog(StepLog):
    """A row per logged step, with rewards and lengths."""

    def further(self, steps: Sequence[Any], args: Any) -> dict[str, Any]:
        """Return what a row says of the groups of some steps."""
        totals = Totals()
        for step in steps:
            totals = totals.plus(step.totals)
        if args.world_size > 1:
            totals = Totals(*self.summed([float(value) for value in totals], args))
        answers = max(totals.answers, 1)
        mean = totals.reward / answers
        spread = max(totals.reward_squared / answers - mean**2, 0) ** 0.5
        return {
            "reward": round(mean, 6),
            "reward_std": round(spread, 6),
            "flat_groups": round(totals.flat / max(totals.groups, 1), 6),
            "length": round(totals.tokens / answers, 3),
            "cut": round(totals.cut / answers, 6),
            "unparsed": round(totals.unparsed / answers, 6),
            "clipped": round(totals.clipped / max(totals.tokens, 1), 6),
            "rollout_seconds": round(sum(step.rollout_seconds for step in steps), 6),
            "reward_seconds": round(sum(step.reward_seconds for step in steps), 6),
        } | steps[-1].measured

    def headline(self, row: dict[str, Any]) -> str:
        """Return what the progress bar shows."""
        return f"reward {row['reward']:.3f}, {row['length']:.0f} tokens"

    @staticmethod
    def summary(folder: Path) -> str:
        """Return one line on a finished training, from its log."""
        log = read_log(folder / "train.jsonl")
        seconds = sum(row["seconds"] for row in log)
        sampling, rewards = (
            sum(row[f"{name}_seconds"] for row in log) / seconds for name in ("rollout", "reward")
        )
        line = (
            f"training {folder.name}: {log[-1]['step']} steps in {seconds:.0f} s; the mean reward went from "
            f"{log[0]['reward']:.3f} to {log[-1]['reward']:.3f}; sampling took {sampling:.0%} of the time, "
            f"rewards {rewards:.0%}"
        )
        if measured := [row for row in log if "eval_reward" in row]:
            best = next(row for row in measured if row["step"] == measured[-1]["best_step"])
            share = sum(row["eval_seconds"] for row in measured) / seconds
            line += (
                f", validation {share:.0%}; the adapter is that of step {best['step']}, whose reward on the "
                f"validation prompts is the highest, {best['eval_reward']:.3f}"
            )
        return line


class FlatStop(TrainerCallback):
    """Ends a training that learns nothing any more; how long that has been so is kept with each checkpoint.

    Args:
        batches: of the trainer.
        most: steps in a row without a group whose rewards differ; None: never stop.
    """

    NAME = "FlatStop"

    def __init__(self, batches: GroupBatches, most: int | None, console: Console, name: str):
        self.batches, self.most, self.console, self.name = batches, most, console, name
        self.count = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the count of the checkpoint."""
        self.count = state.stateful_callbacks.get(self.NAME, {}).get("attributes", {}).get("count", 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step, and stop where there were too many."""
        own = self.batches.stats[state.global_step - 1].totals
        totals = Totals()
        for other in gather_object([own]):
            totals = totals.plus(other)
        self.count = self.count + 1 if totals.flat == totals.groups else 0
        state.stateful_callbacks[self.NAME] = {"args": {}, "attributes": {"count": self.count}}
        if self.most is not None and self.count >= self.most:
            control.should_training_stop = control.should_log = True
            mean = totals.reward / max(totals.answers, 1)
            self.console.say(
                f"training {self.name}: stopped after step {state.global_step}: in {self.count} steps in a row "
                f"no group's answers differed in reward, the mean of which is {mean:.2f} in the last "
                "(max_flat_steps)"
            )
