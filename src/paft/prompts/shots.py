"""Demonstrations: training examples with their answers, which a prompt shows in its slot ``{shots}``."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from paft.config.task import TaskConfig
from paft.errors import UserError
from paft.prompts.template import question, slot_matches, slots
from paft.tasks.load import load_task
from paft.tasks.task import Task, slot_name
from paft.types import SHOTS, Example, Prompt


def load_with_demonstrations(
    config: TaskConfig, shots: int, seed: int | str
) -> tuple[Task, list[Example], list[Example]]:
    """Return the task of a config with its demonstrations, its training examples and its test examples.

    Raises:
        UserError: as :func:`paft.tasks.load.load_task` and :func:`with_demonstrations`.
    """
    task, train, test = load_task(config)
    return with_demonstrations(task, train, test, shots, seed), train, test


def with_demonstrations(
    task: Task, train: Sequence[Example], test: Iterable[Example], shots: int, seed: int | str
) -> Task:
    """Return a task whose prompts show ``shots`` demonstrations; the task itself where there are to be none.

    They are drawn from the training examples with the seed. All prompts and examples have the same ones, so that
    the model computes them once per prompt; :func:`paft.prompts.template.render` leaves out one that is asked.

    Args:
        test: no demonstration asks what one of these asks.

    Raises:
        UserError: there are too few training examples, or a field of the task has the slot's name.
    """
    if not shots:
        return replace(task, shots=0, demonstrations=())
    if SHOTS in map(slot_name, task.fields):
        raise UserError(
            f"config key prompts.shots: the slot {{{SHOTS}}} is the task's field {SHOTS}; give it another slot"
        )
    if not train:
        raise UserError(
            "config key prompts.shots: demonstrations are training examples, and task.train is missing; set it, "
            "or set prompts.shots to 0"
        )
    unseen = set(map(_key, test))
    distinct = {key: example for example in train if (key := _key(example)) not in unseen}
    if len(distinct) <= shots:
        raise UserError(
            f"config key prompts.shots: {shots} demonstrations require {shots + 1} different training examples "
            f"that are no test examples, found {len(distinct)}; set it to {max(0, len(distinct) - 1)} or less"
        )
    drawn = random.Random(f"shots:{seed}").sample(list(distinct.values()), shots + 1)
    return replace(task, shots=shots, demonstrations=tuple(drawn))


def _key(example: Example) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fields, options = question(example)
    return tuple(fields.values()), tuple(options)


def at_slot(prompt: Prompt, task: Task) -> Prompt:
    """Return the prompt with ``{shots}`` where :func:`paft.prompts.template.render` puts the demonstrations.

    Where the task has none, the slot is left out with the space after it.
    """
    if task.shots:
        has_slot = SHOTS in slots(prompt, task.aliases)
        return prompt if has_slot else replace(prompt, text=f"{{{SHOTS}}}\n\n{prompt.text}", id="")
    parts = {"text": prompt.text, "system": prompt.system or ""}
    for name, text in parts.items():
        for match in reversed(list(slot_matches(text))):
            if slot_name(match[1]) == SHOTS and SHOTS not in map(slot_name, task.fields):
                parts[name] = text[: match.start()] + text[match.end() :].lstrip()
    return replace(prompt, text=parts["text"], system=parts["system"] or None, id="")
