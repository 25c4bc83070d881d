"""The reward on held-back prompts and examples while a training on groups goes on; the best adapter is kept."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from paft.errors import UserError
from paft.models.adapters import apply_adapter
from paft.prompts.files import diverse_subset
from paft.prompts.template import render
from paft.tasks.load import subset
from paft.training.finetune import save_adapter
from paft.training.grpo.batches import GroupBatches
from paft.training.grpo.rewards import RenderedExample
from paft.training.grpo.rollout import sample_groups
from paft.training.grpo.settings import GroupSettings
from paft.types import Example, Prompt

SHARE, MOST_PROMPTS, MOST_EXAMPLES = 10, 8, 32
"""One in so many of the training prompts and of the examples is held back, and at most so many, by default."""


@dataclass(frozen=True)
class Validation:
    """What the adapter is measured on, and what is left to train on.

    Attributes:
        prompts, examples: held back from the training; each example is asked under each prompt.
        steps: optimiser steps between two measurements.
        train_prompts, train_examples: the others.
    """

    prompts: Sequence[Prompt]
    examples: Sequence[Example]
    steps: int
    train_prompts: Sequence[Prompt]
    train_examples: Sequence[Example]

    def describe(self) -> str:
        """Return what is held back, as text."""
        return (
            f"{_part(self.prompts, self.train_prompts)} prompts and {_part(self.examples, self.train_examples)} "
            f"examples of the training are held back; the reward on them is measured every {self.steps} steps"
        )


def _part(held: Sequence[Any], rest: Sequence[Any]) -> str:
    return f"{len(held)} of {len(held) + len(rest)}"


def check_held_back(prompts: int, examples: int, settings: GroupSettings, key: str) -> None:
    """Refuse settings that hold back all of the training prompts or examples, of which there are so many.

    Args:
        key: of the config that holds the settings, for messages.

    Raises:
        UserError: nothing would be left to train on.
    """
    if settings.eval_steps is None:
        return
    held = zip(("prompts", "examples"), _held_back(prompts, examples, settings), (prompts, examples), strict=True)
    for name, count, total in held:
        if count >= total:
            raise UserError(
                f"config key {key}.eval_{name}: {count} of {total} training {name} held back for validation leave "
                "none to train on; lower it, or leave eval_steps out"
            )


def hold_back(
    prompts: Sequence[Prompt], examples: Sequence[Example], settings: GroupSettings, seed: int
) -> Validation | None:
    """Return what is held back for validation; None where the settings ask for none.

    The prompts are those that differ most, as in table 3; the examples are drawn with the seed.
    """
    if settings.eval_steps is None:
        return None
    prompt_count, example_count = _held_back(len(prompts), len(examples), settings)
    of_prompts = diverse_subset(list(prompts), prompt_count, seed)
    of_examples = subset(list(examples), example_count, seed)
    held = {example.id for example in of_examples}
    return Validation(
        of_prompts,
        of_examples,
        settings.eval_steps,
        [prompt for prompt in prompts if prompt not in of_prompts],
        [example for example in examples if example.id not in held],
    )


def _held_back(prompts: int, examples: int, settings: GroupSettings) -> tuple[int, int]:
    """Return how many prompts and examples are held back."""
    return (
        settings.eval_prompts or min(max(1, prompts // SHARE), MOST_PROMPTS),
        settings.eval_examples or min(max(1, examples // SHARE), MOST_EXAMPLES),
    )


class BestAdapter(TrainerCallback):
    """Measures the adapter every so many steps and after the last one; the training ends with the best one.

    Those that were the best since the last checkpoint lie beside the checkpoints; which one is the best so far is
    kept with each checkpoint.

    Args:
        batches: of the trainer, whose reward judges the answers too.
        folder: of the checkpoints.
    """

    NAME = "BestAdapter"

    def __init__(self, validation: Validation, batches: GroupBatches, folder: Path):
        self.validation, self.batches, self.folder = validation, batches, folder
        self.step, self.reward = 0, -float("inf")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the best of the checkpoint.

        Raises:
            UserError: its adapter is missing.
        """
        best = state.stateful_callbacks.get(self.NAME, {}).get("attributes")
        if best is None:
            return
        self.step, self.reward = best["step"], best["reward"]
        if not (self._adapter(self.step) / "adapter_model.safetensors").is_file():
            raise UserError(
                f"{self._adapter(self.step)}: the best adapter so far is missing; remove {self.folder} to start "
                "again"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure, and keep the adapter if it is the best so far, the first of equals; then the step is logged."""
        step = state.global_step
        if step % self.validation.steps and step < state.max_steps and not control.should_training_stop:
            return
        started = time.perf_counter()
        reward, length = self._measured(args)
        if reward > self.reward:
            self.step, self.reward = step, reward
            if state.is_world_process_zero:
                save_adapter(self.batches.engine.model, self._adapter(step))
        state.stateful_callbacks[self.NAME] = {
            "args": {},
            "attributes": {"step": self.step, "reward": self.reward},
        }
        seconds = time.perf_counter() - started
        self.batches.stats[step - 1].measured = {
            "eval_reward": round(reward, 6),
            "eval_length": round(length, 3),
            "eval_seconds": round(seconds, 6),
            "best_step": self.step,
        }
        control.should_log = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the adapters that no checkpoint needs any more."""
        if state.is_world_process_zero:
            for folder in self.folder.glob("best-*"):
                if folder != self._adapter(self.step):
                    shutil.rmtree(folder, ignore_errors=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put the best adapter in place of the last one."""
        if self.step != state.global_step:
            apply_adapter(self.batches.engine.model, self._adapter(self.step))

    def _adapter(self, step: int) -> Path:
        return self.folder / f"best-{step}"

    def _measured(self, args: Any) -> tuple[float, float]:
        """Return the mean reward and the mean length of the answers of all processes."""
        batches, task = self.batches, self.batches.task
        questions = [
            RenderedExample(example, prompt, render(prompt, task, example))
            for prompt in self.validation.prompts
            for example in self.validation.examples
        ][args.process_index :: args.world_size]
        found: list[tuple[float, int]] = []
        if questions:
            prompts = batches.engine.encode(
                [question.conversation for question in questions], longest=batches.longest
            )
            groups = sample_groups(
                batches.engine,
                prompts,
                [],
                size=1,
                max_new_tokens=batches.longest,
                temperature=0,
                stop=batches.stop,
            )
            answers = [answer for [answer] in groups]
            rewards = batches.reward(answers, questions)
            found = [(reward.value, len(each.ids)) for reward, each in zip(rewards, answers, strict=True)]
        rewards_of_all, lengths = zip(*gather_object(found), strict=True)
        return sum(rewards_of_all) / len(rewards_of_all), sum(lengths) / len(lengths)
