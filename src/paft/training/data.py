"""The training examples as the trainer meets them: each with the prompt of its step."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch.utils.data import Dataset, Sampler

from paft.engine.engine import Engine
from paft.engine.pack import Inputs, Row
from paft.errors import UserError
from paft.prompts.template import render, slots
from paft.tasks.task import Task
from paft.training.samplers import Schedule, epoch_order
from paft.types import Example, Prompt


@dataclass(frozen=True)
class PromptData:
    """What is trained, and on what: a model, the examples of a task, the prompts that they are asked with.

    Attributes:
        engine: the model with its chat format.
        K: optimiser steps that one drawn prompt is kept for.
        seed: of the order of the examples and of the schedule.
    """

    engine: Engine
    task: Task
    examples: Sequence[Example]
    prompts: Sequence[Prompt]
    K: int = 4
    seed: int = 0


class Item(NamedTuple):
    """An example and the optimiser step, over all epochs, that it is trained in.

    One that ``is_padding`` an epoch's last batch, so that every process has as many batches, is not trained on.
    """

    step: int
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
    """

    def __init__(self, examples: Sequence[Example], step_size: int, seed: int, batch: int = 1):
        self.examples, self.step_size, self.seed = examples, step_size, seed
        self.steps_per_epoch = -(-len(examples) // step_size)
        self._places = -(-len(examples) // batch) * batch

    def __len__(self) -> int:
        return self._places

    def __getitem__(self, position: int) -> Item:
        epoch, place = divmod(position, self._places)
        step = epoch * self.steps_per_epoch + place // self.step_size
        order = epoch_order(len(self.examples), self.seed, epoch)
        return Item(step, self.examples[order[place % len(order)]], is_padding=place >= len(order))


@dataclass
class Collator:
    """Renders, tokenises and lays out the examples of a batch, with the prompt that the schedule gives.

    Attributes:
        examples, tokens: how many went through, by optimiser step.
        seconds: spent here, by optimiser step.
    """

    engine: Engine
    task: Task
    schedule: Schedule[Prompt]

    def __post_init__(self) -> None:
        self.examples: Counter[int] = Counter()
        self.tokens: Counter[int] = Counter()
        self.seconds: defaultdict[int, float] = defaultdict(float)

    def __call__(self, items: Sequence[Item]) -> Inputs:
        """Return what the model takes, and ``labels``; all -100 where every item only is_padding the batch."""
        started = time.perf_counter()
        step = max(item.step for item in items)
        prompt = self.schedule(step)
        examples = [item.example for item in items if not item.is_padding]
        inputs = self.engine.inputs(rows(self.engine, self.task, prompt, examples or [items[0].example]))
        if not examples:
            inputs["labels"].fill_(-100)
        self.examples[step] += len(examples)
        self.tokens[step] += inputs["input_ids"].numel()
        self.seconds[step] += time.perf_counter() - started
        return inputs


def rows(engine: Engine, task: Task, prompt: Prompt, examples: Sequence[Example]) -> list[Row]:
    """Return examples under one prompt, each with its right answer and the answer's end."""
    prompts = engine.format.prompts([render(prompt, task, example) for example in examples])
    return [engine.row(ids, task.target(e)) for ids, e in zip(prompts, examples, strict=True)]


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
        prompt: [len(row.ids) for row in rows(engine, task, prompt, examples)]
        for prompt in _longest(engine, task, prompts, examples)
    }
    lengths = [max(under) for under in zip(*sizes.values(), strict=True)]
    longest = next(prompt for prompt, under in sizes.items() if max(under) == max(lengths))
    kept = [example for example, length in zip(examples, lengths, strict=True) if length <= max_length]
    if len(kept) == len(examples):
        return examples
    found = (
        f"{len(examples) - len(kept)} of {len(examples)} training examples are longer than "
        f"training.max_length={max_length} tokens under their longest prompt; the longest, example "
        f"{examples[lengths.index(max(lengths))].id}, has {max(lengths)} under prompt {longest.id}"
    )
    if not drop or not kept:
        raise UserError(f"{found}; raise training.max_length or set training.on_overlength=drop")
    say(f"left out: {found}")
    return kept


def _longest(engine: Engine, task: Task, prompts: Sequence[Prompt], examples: Sequence[Example]) -> list[Prompt]:
    """Return prompts of which one is the longest, whatever the example.

    One that is no shorter under the shortest example, and uses no slot less often, stays so under any other.
    """
    shortest = min(examples, key=lambda example: sum(map(len, task.slot_values(example).values())))
    sizes = {prompt: len(rows(engine, task, prompt, [shortest])[0].ids) for prompt in prompts}
    kept: dict[Prompt, Counter[str]] = {}
    for prompt in sorted(sizes, key=lambda prompt: -sizes[prompt]):
        used = Counter(slots(prompt, task.aliases))
        if not any(used <= others for others in kept.values()):
            kept[prompt] = used
    return list(kept)
