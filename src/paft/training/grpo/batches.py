"""The groups of an optimiser step: drawn, sampled, rewarded, compared, and packed for the forwards of the loss."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object
from torch.utils.data import Dataset

from paft.engine.engine import Engine
from paft.engine.pack import Row
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.training.data import EpochDataset, Item, StepStats
from paft.training.grpo.loss import AnswerTags, advantages, is_flat, log_probs
from paft.training.grpo.reference import Reference
from paft.training.grpo.rewards import RenderedExample, Reward, RewardFunction
from paft.training.grpo.rollout import SampledOutput, sample_groups
from paft.training.grpo.settings import GroupSettings
from paft.training.samplers import PromptSampler, draw_prompts
from paft.types import Example, Prompt


class GroupDataset(Dataset[Item]):
    """Examples by their position in the whole training, each step's ``iterations`` times in a row.

    Args:
        draws: the examples of each generation of groups.

    Attributes:
        steps_per_epoch: optimiser steps.
    """

    def __init__(self, draws: EpochDataset, iterations: int):
        self.draws, self.iterations = draws, iterations
        self.steps_per_epoch = draws.steps_per_epoch * iterations

    def __len__(self) -> int:
        return len(self.draws) * self.iterations

    def __getitem__(self, position: int) -> Item:
        step, place = divmod(position, self.draws.step_size)
        item = self.draws[step // self.iterations * self.draws.step_size + place]
        return Item(step, item.place, item.example, item.is_padding)


@dataclass(frozen=True)
class Group:
    """The answers to one example under one prompt.

    Attributes:
        prompt_ids: the rendered prompt.
        rewards, advantages: of each answer.
    """

    question: RenderedExample
    prompt_ids: list[int]
    answers: list[SampledOutput]
    rewards: list[Reward]
    advantages: list[float]

    @property
    def values(self) -> list[float]:
        """The rewards as numbers."""
        return [reward.value for reward in self.rewards]


class Totals(NamedTuple):
    """Sums over answers, and over groups, that are added up over steps and processes.

    Attributes:
        flat: groups whose rewards are equal.
        tokens: of answers.
        cut: answers that hit the limit of tokens.
        unparsed: answers that the scorer could not read.
        clipped: tokens whose probability ratio was clipped.
    """

    answers: float = 0
    reward: float = 0
    reward_squared: float = 0
    groups: float = 0
    flat: float = 0
    tokens: float = 0
    cut: float = 0
    unparsed: float = 0
    clipped: float = 0

    @classmethod
    def of(cls, groups: Sequence[Group]) -> "Totals":
        """Return the sums over some groups."""
        answers = [answer for group in groups for answer in group.answers]
        rewards = [reward for group in groups for reward in group.rewards]
        return cls(
            len(answers),
            sum(reward.value for reward in rewards),
            sum(reward.value**2 for reward in rewards),
            len(groups),
            sum(is_flat(group.values) for group in groups),
            sum(len(answer.ids) for answer in answers),
            sum(answer.is_cut for answer in answers),
            sum(not reward.is_parsed for reward in rewards),
        )

    def plus(self, other: Sequence[float]) -> "Totals":
        """Return the sums of both."""
        return Totals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class GroupStats(StepStats):
    """What this process did for an optimiser step; tokens include those that were sampled.

    Attributes:
        rollout_seconds, reward_seconds: spent on sampling and on rewards; 0 where a step reuses its answers.
        measured: columns of the log about the reward on validation prompts after the step, where it was measured.
    """

    totals: Totals
    rollout_seconds: float
    reward_seconds: float
    measured: dict[str, float] = field(default_factory=dict)


class GroupBatches:
    """Makes the groups of an optimiser step, and the model's inputs for its forwards.

    Args:
        prompts: the training prompts, and the extra prompts of the sampler.
        data: the examples of every step, also those of other processes.
        longest: the most tokens of an answer.
        stop: an answer ends where one of these texts does.

    Attributes:
        stats: of each step that was built.
        drawn: the prompt of each example of the step that was built last.
        reference: the model that training began with; None where the loss has no KL term.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        prompts: Sequence[Prompt],
        sampler: PromptSampler,
        data: GroupDataset,
        settings: GroupSettings,
        reward: RewardFunction,
        *,
        seed: int,
        longest: int,
        stop: Sequence[str] = (),
    ):
        self.engine, self.task, self.sampler, self.data = engine, task, sampler, data
        self.settings, self.reward, self.seed, self.longest, self.stop = settings, reward, seed, longest, stop
        self._prompts = frozenset(prompts)
        self.stats: dict[int, GroupStats] = {}
        self.drawn: list[Prompt] = []
        self.reference: Reference | None = None
        self.rollout_seconds = self.reward_seconds = 0.0
        self._groups: tuple[tuple[int, tuple[int, ...]], list[Group]] | None = None
        self._built: list[dict[str, Any]] = []

    def __call__(self, batches: Sequence[Sequence[Item]]) -> list[dict[str, Any]]:
        """Return, for each forward of a step on this process, what the model takes, ``labels`` and ``rows``.

        ``rows`` are :class:`~paft.training.grpo.loss.AnswerTags`. Labels are -100 where every item is padding.

        Args:
            batches: the items of each forward; all are of the same step.
        """
        started = time.perf_counter()
        step = batches[0][0].step
        draw, iteration = divmod(step, self.settings.num_iterations)
        places = tuple(item.place for items in batches for item in items if not item.is_padding)
        self.rollout_seconds = self.reward_seconds = 0.0
        groups = self.groups(draw, places)
        if iteration == 0 or not self._built:
            examples = len(self.data.draws.step_examples(draw))
            remaining = iter(groups)
            self._built = []
            for items in batches:
                own = [next(remaining) for item in items if not item.is_padding]
                self._built.append(self._inputs(own or groups[:1], examples, is_padding=not own))
        totals = Totals.of(groups if places else [])
        self.stats[step] = GroupStats(
            tuple(dict.fromkeys(prompt.id for prompt in self.drawn)),
            len(places),
            sum(inputs["input_ids"].numel() for inputs in self._built) + (0 if iteration else int(totals.tokens)),
            time.perf_counter() - started - self.rollout_seconds - self.reward_seconds,
            totals,
            self.rollout_seconds,
            self.reward_seconds,
        )
        return [{**inputs, "rows": replace(inputs["rows"], step=step)} for inputs in self._built]

    def groups(self, draw: int, places: Sequence[int]) -> list[Group]:
        """Return the groups of some examples of a step, kept until others are asked for.

        Where a process has no example of the step, it gets those of the first one, which are not trained on.

        Args:
            draw: which generation of groups, counted from 0.
            places: which of the step's examples; every process makes the call, each with its own.
        """
        key = (draw, tuple(places))
        if self._groups is None or self._groups[0] != key:
            examples = self.data.draws.step_examples(draw)
            self.drawn = draw_prompts(self.sampler, draw, examples, self._prompts)
            self._groups = (key, self._sampled(draw, examples, places))
        return self._groups[1]

    def _sampled(self, draw: int, examples: Sequence[Example], places: Sequence[int]) -> list[Group]:
        questions = []
        for place in places or [0]:
            prompt, example = self.drawn[place], examples[place]
            questions.append(RenderedExample(example, prompt, render(prompt, self.task, example)))
        prompts = self.engine.encode([question.conversation for question in questions], longest=self.longest)
        started = time.perf_counter()
        sampled = sample_groups(
            self.engine,
            prompts,
            [f"answers:{self.seed}:{draw}:{place}" for place in places or [0]],
            size=self.settings.num_generations,
            max_new_tokens=self.longest,
            temperature=self.settings.temperature,
            stop=self.stop,
        )
        self.rollout_seconds += time.perf_counter() - started
        started = time.perf_counter()
        rewards = self._rewarded(sampled, questions)
        self.reward_seconds += time.perf_counter() - started
        values = [[reward.value for reward in group] for group in rewards]
        everyone = None
        if self.settings.scale_rewards == "batch":
            everyone = gather_object([value for group in values for value in group] if places else [])
        compared = advantages(values, self.settings.scale_rewards, everyone)
        return [Group(*parts) for parts in zip(questions, prompts, sampled, rewards, compared, strict=True)]

    def _rewarded(
        self, groups: Sequence[Sequence[SampledOutput]], questions: Sequence[RenderedExample]
    ) -> list[list[Reward]]:
        """Return the rewards of all answers; the function is called once."""
        answers = [answer for group in groups for answer in group]
        size = self.settings.num_generations
        rewards = self.reward(answers, [question for question in questions for _ in range(size)])
        return [rewards[first : first + size] for first in range(0, len(rewards), size)]

    def _inputs(self, groups: Sequence[Group], examples: int, *, is_padding: bool) -> dict[str, Any]:
        """Return the model's inputs for some groups.

        Args:
            examples: of the whole step.
            is_padding: the groups are only there so that this process has a forward too.
        """
        answers = [answer for group in groups for answer in group.answers]
        rows = [
            Row([*group.prompt_ids, *answer.ids], len(answer.ids)) for group in groups for answer in group.answers
        ]
        inputs: dict[str, Any] = dict(self.engine.inputs(rows))
        # answers that begin alike are predicted at the same positions
        inputs["logits_to_keep"], place = inputs["logits_to_keep"].unique(return_inverse=True)
        tags = AnswerTags(
            step=0,
            advantages=[value for group in groups for value in group.advantages],
            lengths=[len(answer.ids) for answer in answers],
            old=torch.cat([answer.log_probs for answer in answers]),
            place=place,
            answers_in_step=examples * self.settings.num_generations,
            is_padding=is_padding,
        )
        if self.reference is not None and not is_padding:
            with self.reference.in_place():
                tags = replace(tags, reference=self._log_probs(inputs, place))
        if is_padding:
            inputs["labels"].fill_(-100)
        return {**inputs, "rows": tags}

    @torch.no_grad()
    def _log_probs(self, inputs: dict[str, Any], place: torch.Tensor) -> torch.Tensor:
        model = self.engine.model
        is_training = model.training
        model.eval()
        try:
            moved = {name: tensor.to(model.device) for name, tensor in inputs.items()}
            labels = moved.pop("labels")
            return log_probs(self.engine.forward(moved), labels, place, self.settings.temperature)
        finally:
            model.train(is_training)
