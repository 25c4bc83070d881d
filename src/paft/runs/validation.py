"""Training data in place of test data, to choose settings by: no test prompt and no test example is read."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from paft.config.schema import Config, GenerateSource
from paft.config.task import TaskConfig
from paft.errors import UserError
from paft.prompts.files import diverse_subset, write_prompts
from paft.prompts.prepare import fit_prompts
from paft.prompts.shots import load_with_demonstrations
from paft.runs.directory import HELD_OUT
from paft.tasks.load import stored_rows
from paft.types import Example, Prompt
from paft.utils.console import Console
from paft.utils.io import write_jsonl

SHARE = 1 / 9
"""Of the training prompts and of the training examples, what is held out."""


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
    parts = split_prompts(prompts, config.seed)

    def write(folder: Path) -> Config:
        files = {split: folder / f"{split}-prompts.jsonl" for split in ("train", "test")}
        for file, part in zip(files.values(), parts, strict=True):
            write_prompts(file, part)
        sources = {split: str(file) for split, file in files.items()}
        return config.model_copy(
            update={
                "task": split_examples(config.task, train, folder, config.seed),
                "prompts": config.prompts.model_copy(update=sources),
            }
        )

    folder = output / HELD_OUT
    with TemporaryDirectory() as fresh:
        write(Path(fresh))
        for file in sorted(folder.glob("*.jsonl")):
            if file.read_bytes() != (Path(fresh) / file.name).read_bytes():
                raise UserError(f"{file}: holds the parts of another config or seed; choose another --output")
    console.say(
        f"{folder}: {len(parts[1])} of {len(prompts)} training prompts and a ninth of the training examples are "
        "held out; test prompts and test examples are not read"
    )
    return write(folder)


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


def split_examples(task: TaskConfig, examples: Sequence[Example], folder: Path, seed: int) -> TaskConfig:
    """Split the training rows of a task into two files; return the task with them as its training and test rows.

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
    parts = {
        "train": (row for i, row in enumerate(rows) if i not in held_out),
        "test": (rows[i] for i in sorted(held_out)),
    }
    for split, part in parts.items():
        write_jsonl(folder / f"{split}-examples.jsonl", part)
    return task.model_copy(update={split: str(folder / f"{split}-examples.jsonl") for split in parts})


def held_out_examples(examples: Sequence[Example], count: int, seed: int) -> set[int]:
    """Return the indices of about ``count`` examples, none of which is related to any of the remaining examples.

    Two examples are related if they share their longest field, such as questions on one article, or their options,
    such as the two sentences of a WinoGrande pair. Options that are the same for all examples do not count.
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
    for group in random.Random(f"held out:{seed}").sample(list(groups), len(groups)):
        if len(held_out) < count:
            held_out.update(groups[group])
    return held_out
