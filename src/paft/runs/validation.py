"""Training data in place of test data, to choose settings by: no test prompt and no test example is read."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paft.config.schema import Config, GenerateSource
from paft.config.task import TaskConfig
from paft.errors import UserError
from paft.prompts.files import diverse_subset, prompt_row
from paft.prompts.prepare import fit_prompts
from paft.prompts.shots import load_with_demonstrations
from paft.runs.directory import HELD_OUT
from paft.tasks.load import stored_rows
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import as_jsonl, write_jsonl

SHARE = 1 / 9
"""Of the training prompts and of the training examples, what is held out."""
LARGEST_GROUP = 2
"""Related examples are not held out if they are more than so many times what is to be held out."""


def with_held_out(config: Config, output: Path, console: Console) -> Config:
    """Return the config with a part of its training prompts and examples as test prompts and examples.

    The parts are drawn with the seed and written into ``output/held-out``.

    Raises:
        UserError: there are too few, no file or bank holds them, or the folder holds those of another config.
    """
    if config.prompts.train is None or isinstance(config.prompts.train, GenerateSource):
        raise UserError(
            "config key prompts.train: --validate holds some of the prompts out; name a file or a bank; "
            "`paft prompts generate` makes files"
        )
    alone = config.task.model_copy(update={"test": None})
    task, train, _ = load_with_demonstrations(alone, config.prompts.shots, config.seed)
    prompts, _ = fit_prompts(config.prompts, "train", task, train, config.seed)
    rest, held_out = split_prompts(prompts, config.seed)
    parts = {
        "train-prompts": list(map(prompt_row, rest)),
        "test-prompts": list(map(prompt_row, held_out)),
        **{f"{split}-examples": rows for split, rows in split_rows(config.task, train, config.seed).items()},
    }
    files = {name: (output / HELD_OUT / f"{name}.jsonl").resolve() for name in parts}
    for name, file in files.items():
        if file.is_file() and file.read_bytes() != as_jsonl(parts[name]).encode("utf-8", "replace"):
            raise UserError(f"{file}: holds the parts of another config or seed; choose another --output")
    console.say(
        f"{output / HELD_OUT}: {len(held_out)} of {len(prompts)} training prompts and "
        f"{len(parts['test-examples'])} of {len(train)} training examples are held out; test prompts and test "
        "examples are not read"
    )
    for name, file in files.items():
        write_jsonl(file, parts[name])

    def of(section: Any, what: str) -> Any:
        return section.model_copy(update={split: str(files[f"{split}-{what}"]) for split in ("train", "test")})

    return config.model_copy(
        update={"task": of(config.task, "examples"), "prompts": of(config.prompts, "prompts")}
    )


def split_prompts(prompts: list[Prompt], seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Return the prompts that stay for training, and a diverse part that is held out.

    Raises:
        UserError: there are fewer than three.
    """
    if len(prompts) < 3:
        raise UserError(
            "config key prompts.train: some prompts are held out for validation, which takes 3 or more that fit "
            f"the task; found {len(prompts)}"
        )
    held_out = diverse_subset(prompts, max(2, round(len(prompts) * SHARE)), seed)
    return [prompt for prompt in prompts if prompt not in held_out], held_out


def split_rows(task: TaskConfig, examples: Sequence[Example], seed: int) -> dict[str, list[dict[str, Any]]]:
    """Return the training rows of a task that stay for training, and those that are held out as test rows.

    Args:
        examples: the task's training examples, one for each row.

    Raises:
        UserError: there are too few rows, or all are related.
    """
    if task.train is None:
        raise UserError("config key task.train is missing")
    rows = [json.loads(json.dumps(row, default=str)) for row in stored_rows(task, task.train)]  # dates of Parquet
    held_out = held_out_examples(examples, max(1, round(len(rows) * SHARE)), seed)
    if len(held_out) == len(rows):
        raise UserError(
            "config key task.train: some rows are held out for validation, but there is one only, or all share a "
            "text with one another"
        )
    return {
        "train": [row for i, row in enumerate(rows) if i not in held_out],
        "test": [rows[i] for i in sorted(held_out)],
    }


def held_out_examples(examples: Sequence[Example], count: int, seed: int) -> set[int]:
    """Return the indices of about ``count`` examples, none of which is related to any of the remaining examples.

    Two examples are related if they share their longest field, such as questions on one article, or their options,
    such as the two sentences of a WinoGrande pair. Options that are the same for all examples do not count. Groups
    of related examples that are far larger than ``count`` stay for training, unless there are no smaller ones.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    fixed = len({example.options for example in examples}) == 1
    nodes: dict[tuple[str, ...], int] = {}
    edges = [
        (index, nodes.setdefault(mark, len(examples) + len(nodes)))
        for index, example in enumerate(examples)
        for mark in ((max(example.fields.values(), key=len),), () if fixed else tuple(sorted(example.options)))
        if mark
    ]
    size = len(examples) + len(nodes)
    graph = coo_array((np.ones(len(edges)), tuple(zip(*edges, strict=True))), shape=(size, size))
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(connected_components(graph, directed=False)[1][: len(examples)]):
        groups.setdefault(int(group), []).append(index)
    held_out: set[int] = set()
    shuffled: list[list[int]] = random.Random(f"held out:{seed}").sample(list(groups.values()), len(groups))
    for group in (g for g in shuffled if len(g) <= LARGEST_GROUP * count):
        if len(held_out) < count:
            held_out.update(group)
    smallest = min(shuffled, key=len)
    return held_out or set(smallest)
