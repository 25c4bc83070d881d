"""The training examples as the trainer meets them, and the model's inputs for each optimiser step."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from paft.engine.engine import Engine
from paft.engine.pack import Inputs, Row
from paft.errors import UserError
from paft.prompts.template import render, slots
from paft.tasks.task import Task
from paft.training.noise import NoisePlan, StepNoise
from paft.training.objectives import StepRows
from paft.training.prefix import SharedPrefix, shared_prefix
from paft.training.samplers import PromptSampler, draw_prompts
from paft.types import Example, Prompt
from paft.utils.plugins import Part


@dataclass(frozen=True)
class PromptData:
    """What is trained, and on what: a model, the examples of a task, the prompts that they are asked with.

    Attributes:
        engine: the model with its chat format.
        K: optimiser steps that one drawn prompt is kept for.
        seed: of the order of the examples and of the sampler.
        sampler, objective: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        prompt_noise: NEFTune's alpha, on prompt tokens only; None for no noise.
        group_by: a field; examples with the same value follow each other in every epoch.
    """

    engine: Engine
    task: Task
    examples: Sequence[Example]
    prompts: Sequence[Prompt]
    K: int = 4
    seed: int = 0
    sampler: Part = "uniform"
    objective: Part = "cross-entropy"
    prompt_noise: float | None = None
    group_by: str | None = None


def epoch_order(size: int, seed: int, epoch: int) -> tuple[int, ...]:
    """Return the order in which an epoch visits the examples 0 to ``size - 1``, each once."""
    return tuple(random.Random(f"order:{seed}:{epoch}").sample(range(size), size))


def grouped(order: Sequence[int], values: Sequence[str]) -> tuple[int, ...]:
    """Return an order in which examples with the same value follow each other, each group where its first one was.

    Args:
        values: of each example, by its index.
    """
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(values[index], []).append(index)
    return tuple(itertools.chain.from_iterable(groups.values()))


class Item(NamedTuple):
    """An example of an optimiser step.

    Attributes:
        step: the optimiser step, counted from 0 over all epochs.
        place: which example of the step it is, over gradient accumulation and processes.
        is_padding: it only fills up an epoch's last batch, so that every process has as many batches; it is not
            trained on.
    """

    step: int
    place: int
    example: Example
    is_padding: bool = False


class EpochSampler(Sampler[int]):
    """Yields the positions of one epoch: ``epoch * examples`` up to the next epoch's first."""

    def __init__(self, size: int, epoch: Callable[[], int]):
        self.size, self.epoch = size, epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        first = self.epoch() * self.size
        return iter(range(first, first + self.size))


class EpochDataset(Dataset[Item]):
    """Examples by their position in the whole training, epochs one after the other.

    Args:
        examples: the training examples.
        step_size: examples of one optimiser step, over accumulation and processes.
        seed: of the order within each epoch.
        batch: examples of one forward, over the processes; an epoch is filled up to whole ones.
        copies: how many rows a step holds of each of its examples, each under a prompt of its own.
        group_by: a field; examples with the same value follow each other.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        step_size: int,
        seed: int,
        batch: int = 1,
        copies: int = 1,
        group_by: str | None = None,
    ):
        self.examples, self.step_size, self.seed, self.copies = examples, step_size, seed, copies
        self._values = [example.fields[group_by] for example in examples] if group_by else None
        self._order: tuple[int, tuple[int, ...]] = (-1, ())  # of the epoch that was asked for last
        self.steps_per_epoch = -(-len(examples) // step_size)
        self._places = -(-len(examples) // batch) * batch

    def __len__(self) -> int:
        return self._places

    def __getitem__(self, position: int) -> Item:
        epoch, place = divmod(position, self._places)
        step_in_epoch, place_in_step = divmod(place, self.step_size)
        order = self.order(epoch)
        example = self.examples[order[place % len(order)]]
        step = epoch * self.steps_per_epoch + step_in_epoch
        return Item(step, place_in_step, example, is_padding=place >= len(order))

    def order(self, epoch: int) -> tuple[int, ...]:
        """Return the indices of the examples in the order in which an epoch visits them."""
        if self._order[0] != epoch:
            order = epoch_order(len(self.examples), self.seed, epoch)
            self._order = epoch, grouped(order, self._values) if self._values else order
        return self._order[1]

    def step_examples(self, step: int) -> list[Example]:
        """Return all examples of an optimiser step, over accumulation and processes; padding is left out.

        With several copies, all examples come once, then all of them again, and so on.
        """
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        order = self.order(epoch)
        first = step_in_epoch * self.step_size
        return [self.examples[index] for index in order[first : first + self.step_size]] * self.copies


def as_items(items: list[Item]) -> list[Item]:
    """Return a batch unchanged: the collator of the data loader.

    The data loader reads one batch ahead, when a sampler has not yet observed the losses of the step before. So
    prompts are drawn, rendered and tokenised when their step begins (:class:`BatchBuilder`).
    """
    return items


@dataclass(frozen=True)
class RowTags:
    """The rows of one forward without the model's outputs.

    Attributes:
        places: the place of each row in the step.
        examples, prompts, answer_lengths: of each row.
        keep: positions of the labels that are answer tokens, boolean; None where all are.
        is_padding: no row is trained on.
        noise: where noise is added to the embeddings; None for no noise.
    """

    step: int
    examples_in_step: int
    places: Sequence[int]
    examples: Sequence[Example]
    prompts: Sequence[Prompt]
    answer_lengths: Sequence[int]
    keep: torch.Tensor | None
    is_padding: bool
    noise: NoisePlan | None = None

    def with_logits(
        self, logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | int | None
    ) -> StepRows:
        """Return the rows with the model's outputs.

        Args:
            logits: ``(batch, positions, vocabulary)`` at the kept positions; not copied where rows are packed.
            labels: ``(batch, positions)``.
            count: answer tokens of the whole optimiser step; None outside of one.
        """
        if self.keep is None:
            logits, labels = logits.flatten(0, -2), labels.flatten()
        else:
            keep = self.keep.to(labels.device)
            logits, labels = logits[keep], labels[keep]
        return StepRows(
            self.examples,
            self.prompts,
            logits,
            labels,
            self.answer_lengths,
            torch.as_tensor(len(labels) if count is None else count).clamp(min=1),
            self.step,
            self.examples_in_step,
        )


class ForwardRows(NamedTuple):
    """The rows of one forward.

    Attributes:
        places: the place of each row in the step; none if all items are padding, which are one row then.
        examples, prompts, tokens: of each row.
    """

    places: list[int]
    examples: list[Example]
    prompts: list[Prompt]
    tokens: list[Row]


@dataclass
class StepStats:
    """What this process prepared for an optimiser step.

    Attributes:
        prompt_ids: the distinct prompts of the whole step, in order of first use.
        examples, tokens: of this process; an example under several prompts is counted once, and tokens are those
            of all forwards, also of those that a sampler asks for. A beginning that is computed apart counts once.
        seconds: spent on drawing, rendering, tokenising and packing.
    """

    prompt_ids: tuple[str, ...]
    examples: int
    tokens: int
    seconds: float


class BatchBuilder:
    """Draws the prompts of an optimiser step and builds the model's inputs for its forwards.

    Args:
        prompts: the training prompts, and the extra prompts of the sampler.
        data: the examples of every step, also those of other processes.
        has_noise: whether noise is added to the prompts' embeddings.
        probed_tokens: returns the tokens of all forwards so far that the sampler asked for, of this process.
        shares_prefix: returns True if what all rows of a step begin with may be computed apart, once.

    Attributes:
        stats: of each step that was built.
        drawn: the prompt of each row of the step that was built last.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        prompts: Iterable[Prompt],
        sampler: PromptSampler,
        data: EpochDataset,
        has_noise: bool = False,
        probed_tokens: Callable[[], int] = lambda: 0,
        shares_prefix: Callable[[], bool] = lambda: False,
    ):
        self.engine, self.task, self.sampler, self.data = engine, task, sampler, data
        self.has_noise = has_noise
        self._prompts = frozenset(prompts)
        self.stats: dict[int, StepStats] = {}
        self.drawn: list[Prompt] = []
        self._probed_tokens, self.shares_prefix = probed_tokens, shares_prefix

    def __call__(self, batches: Sequence[Sequence[Item]]) -> list[dict[str, Any]]:
        """Return, for each forward of a step on this process, the model's inputs and more.

        ``rows`` are :class:`RowTags`; ``labels`` are -100 where every item of a batch is padding. ``prefix``, the
        beginning that all rows of the step share, is there only if it is computed apart.

        Args:
            batches: the items of each forward; all are of the same step.
        """
        started = time.perf_counter()
        step = batches[0][0].step
        examples = self.data.step_examples(step)
        probed = self._probed_tokens()
        self.drawn = draw_prompts(self.sampler, step, examples, self._prompts)
        noise = None
        if self.has_noise:  # it depends on all rows of the step
            noise = StepNoise(step, rows(self.engine, self.task, self.drawn, examples))
        forwards = [self._rows(items) for items in batches]
        tokens = [forward.tokens for forward in forwards]
        prefix = shared_prefix(self.engine, tokens, noise) if self.shares_prefix() else None
        built = [self._inputs(step, forward, prefix, noise) for forward in forwards]
        self.stats[step] = StepStats(
            tuple(dict.fromkeys(prompt.id for prompt in self.drawn)),
            sum(not item.is_padding for items in batches for item in items),
            sum(inputs["input_ids"].numel() for inputs in built)
            + (len(prefix.ids) if prefix else 0)
            + (self._probed_tokens() - probed),
            time.perf_counter() - started,
        )
        return built

    def _rows(self, items: Sequence[Item]) -> ForwardRows:
        trained = [item for item in items if not item.is_padding]
        examples_in_step = len(self.drawn) // self.data.copies
        places = [copy * examples_in_step + item.place for copy in range(self.data.copies) for item in trained]
        examples = [item.example for item in trained] * self.data.copies or [items[0].example]
        prompts = [self.drawn[place] for place in places] or self.drawn[:1]
        return ForwardRows(places, examples, prompts, rows(self.engine, self.task, prompts, examples))

    def _inputs(
        self, step: int, forward: ForwardRows, prefix: SharedPrefix | None, noise: StepNoise | None
    ) -> dict[str, Any]:
        tokens, is_padding, cached = forward.tokens, not forward.places, len(prefix.ids) if prefix else 0
        inputs: Inputs = self.engine.packed(tokens, cached) if cached else self.engine.inputs(tokens)
        labels = inputs["labels"]
        if is_padding:
            labels.fill_(-100)
        keep = labels != -100
        plan = None
        if noise and not is_padding:
            is_padded = "position_ids" not in inputs
            plan = noise.plan(tokens, inputs["input_ids"].shape[1] if is_padded else None, cached)
        tags = RowTags(
            step,
            len(self.drawn) // self.data.copies,
            forward.places,
            forward.examples,
            forward.prompts,
            [row.answer for row in tokens],
            None if keep.all() else keep,
            is_padding,
            noise=plan,
        )
        return {**inputs, "rows": tags} | ({"prefix": prefix} if prefix else {})


def rows(engine: Engine, task: Task, prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[Row]:
    """Return examples, each under its prompt, with the right answer and the answer's end."""
    conversations = [render(prompt, task, example) for prompt, example in zip(prompts, examples, strict=True)]
    encoded = engine.format.prompts(conversations)
    return [engine.row(ids, task.target(e)) for ids, e in zip(encoded, examples, strict=True)]


def filter_by_length(
    engine: Engine,
    task: Task,
    prompts: Sequence[Prompt],
    examples: list[Example],
    *,
    max_length: int,
    drop: bool,
    say: Callable[[str], None] = print,
) -> list[Example]:
    """Return the examples that fit ``max_length`` tokens under each of the prompts.

    An answer is never cut.

    Raises:
        UserError: some do not fit and ``drop`` is False, or none fits.
    """
    sizes = {
        prompt: [len(row.ids) for row in rows(engine, task, [prompt] * len(examples), examples)]
        for prompt in _longest(engine, task, prompts, examples)
    }
    lengths = [max(under) for under in zip(*sizes.values(), strict=True)]
    longest = next(prompt for prompt, under in sizes.items() if max(under) == max(lengths))
    kept = [example for example, length in zip(examples, lengths, strict=True) if length <= max_length]
    if len(kept) == len(examples):
        return examples
    problem = (
        f"{len(examples) - len(kept)} of {len(examples)} training examples are longer than "
        f"training.max_length={max_length} tokens under their longest prompt; the longest, example "
        f"{examples[lengths.index(max(lengths))].id}, has {max(lengths)} under prompt {longest.id}"
    )
    if not drop or not kept:
        raise UserError(f"{problem}; raise training.max_length or set training.on_overlength=drop")
    say(f"left out: {problem}")
    return kept


def _longest(engine: Engine, task: Task, prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[Prompt]:
    """Return prompts of which at least one is the longest, whatever the example.

    A prompt that is no shorter with the shortest example, and uses no slot less often, is no shorter with any
    example.
    """
    shortest = min(examples, key=lambda example: sum(map(len, task.slot_values(example).values())))
    sizes = {prompt: len(rows(engine, task, [prompt], [shortest])[0].ids) for prompt in prompts}
    kept: dict[Prompt, Counter[str]] = {}
    for prompt in sorted(sizes, key=lambda prompt: -sizes[prompt]):
        used = Counter(slots(prompt, task.aliases))
        if not any(used <= others for others in kept.values()):
            kept[prompt] = used
    return list(kept)
