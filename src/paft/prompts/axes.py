"""The axes along which ``paft evaluate --axes`` varies how a question is asked, and the levels of each."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from paft.errors import UserError, nearest
from paft.prompts.formats import Format, draw_formats
from paft.prompts.shots import at_slot, with_demonstrations
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Example, Prompt, content_hash
from paft.utils.typos import mistyped

WORDINGS = 10
FORMATS = 8
ORDERS = 4
TYPOS = (0.0, 0.1, 0.2)
"""Shares of the words of an input that get a typing mistake."""
SHOTS_AT_MOST = 4
"""Demonstrations of the highest level, where ``prompts.shots`` is 0."""


@dataclass(frozen=True)
class Level:
    """One level of an axis: its value, and what a reader sees."""

    value: Any
    name: str


@dataclass(frozen=True)
class Source:
    """What the levels are made from.

    Attributes:
        task: with the demonstrations that are shown where their number is not varied.
        prompts: the test prompts.
        user: the prompt that is asked with where the wording is not varied; the first test prompt if None.
        train, test: the examples that demonstrations are drawn from, and those that are asked. ``train`` is None
            where there are none, and empty where they are not read, since none is shown.
        adapters: of the training seeds.
        shots: the setting ``prompts.shots``.
    """

    task: Task
    prompts: Sequence[Prompt]
    user: Prompt | None
    train: Sequence[Example] | None
    test: Sequence[Example]
    adapters: Sequence[str]
    shots: int
    seed: int

    @property
    def wording(self) -> Prompt:
        """The prompt that is asked with where the wording is not varied."""
        return self.user or self.prompts[0]


def levels_of(names: Sequence[str], source: Source) -> dict[str, list[Level]]:
    """Return the levels of each axis.

    Raises:
        UserError: there is no such axis, or the task lacks it.
    """
    if unknown := [name for name in names if name not in AXES]:
        raise UserError(f"--axes: no axis {unknown[0]!r}{nearest(unknown[0], AXES)}")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--axes: {repeated[0]} is listed twice")
    levels = {name: AXES[name].levels(source) for name in AXES}
    prompts = [level.value for level in levels["wording"]] if "wording" in names else [source.wording]
    if not any(prompt.system for prompt in prompts):
        levels["system"] = []
    if lacking := [name for name in names if len(levels[name]) < 2]:
        there = ", ".join(name for name in AXES if len(levels[name]) > 1)
        raise UserError(
            f"--axes: no axis {lacking[0]} here, {AXES[lacking[0]].otherwise}; {source.task.name} has {there}"
        )
    return {name: levels[name] for name in names}


@dataclass(frozen=True)
class Variations:
    """Asks a question with a level of each axis that is varied; the others are as the config has them."""

    source: Source
    _tasks: dict[Any, Task] = field(default_factory=dict, init=False)

    def task(self, values: Mapping[str, Any]) -> Task:
        """Return the task with the demonstrations that are shown."""
        shots = values.get("shots")
        if shots is None:
            return self.source.task
        if shots not in self._tasks:
            source, (count, draw) = self.source, shots
            seed = f"{source.seed}:{draw}" if draw else source.seed
            self._tasks[shots] = with_demonstrations(source.task, source.train or (), source.test, count, seed)
        return self._tasks[shots]

    def prompt(self, values: Mapping[str, Any]) -> Prompt:
        """Return the prompt in its format, with the system text at its place."""
        task, prompt = self.task(values), values.get("wording") or self.source.wording
        prompt = values.get("format", Format()).apply(at_slot(prompt, task), task)
        if values.get("system") and prompt.system:
            prompt = replace(prompt, text=f"{prompt.system}\n\n{prompt.text}", system=None, id="")
        return prompt

    def example(self, values: Mapping[str, Any], example: Example) -> Example:
        """Return the example with its options in another order, and with typing mistakes in its fields."""
        if order := values.get("order"):
            places = permutation(order, len(example.options), self.source.seed)
            target = None if example.target is None else places.index(example.target)
            example = replace(example, options=tuple(example.options[i] for i in places), target=target)
        if share := values.get("typos"):
            draw = random.Random(f"typos:{self.source.seed}:{share}:{content_hash(*example.fields.values())}")
            fields = {name: mistyped(text, share, draw) for name, text in example.fields.items()}
            example = replace(example, fields=fields)
        return example


def permutation(order: int, options: int, seed: int) -> list[int]:
    """Return which option stands at each place: as given, reversed, or drawn with the seed."""
    places = list(range(options))
    if order <= 1:
        return places[::-1] if order else places
    known = [permutation(earlier, options, seed) for earlier in range(order)]
    random_source = random.Random(f"order:{seed}:{order}:{options}")
    while places in known and len(known) < math.factorial(options):
        random_source.shuffle(places)
    return places


@dataclass(frozen=True)
class Axis:
    """An axis: its levels, none or one where there is nothing to vary, and what is missing then."""

    levels: Callable[[Source], list[Level]]
    otherwise: str


def _wordings(source: Source) -> list[Level]:
    return [Level(p, f"prompt {p.id}") for p in subset(list(source.prompts), WORDINGS, source.seed)]


def _formats(source: Source) -> list[Level]:
    return [Level(format_, format_.describe()) for format_ in draw_formats(FORMATS, source.seed)]


def _orders(source: Source) -> list[Level]:
    if not source.task.has_own_options:
        return []
    count = min(ORDERS, math.factorial(max(len(example.options) for example in source.test)))
    names = ("as given", "reversed", *(f"drawn {i}" for i in range(1, ORDERS)))
    return [Level(order, names[order]) for order in range(count)]


def _places(source: Source) -> list[Level]:
    return [Level(False, "system message"), Level(True, "beginning of the user message")]


def _shots(source: Source) -> list[Level]:
    if source.train is None:
        return []
    counts = sorted({1, source.shots or SHOTS_AT_MOST})
    drawn = [(count, draw) for count in counts for draw in range(2)]
    return [Level((0, 0), "none"), *(Level(value, f"{value[0]}, draw {value[1] + 1}") for value in drawn)]


def _typos(source: Source) -> list[Level]:
    return [Level(share, f"{share:.0%} of the words" if share else "none") for share in TYPOS]


def _seeds(source: Source) -> list[Level]:
    return [Level(adapter, adapter) for adapter in source.adapters]


AXES = {
    "wording": Axis(_wordings, "prompts.test has one prompt"),
    "format": Axis(_formats, ""),
    "order": Axis(_orders, "the examples bring no options of their own"),
    "system": Axis(_places, "no prompt that is asked has a system text"),
    "shots": Axis(_shots, "demonstrations need training rows (task.train)"),
    "typos": Axis(_typos, ""),
    "seed": Axis(_seeds, "name the adapters of two or more training seeds, each with --adapter"),
}
"""The axes by name, in the order of the reports."""
