"""The file ``predictions.parquet``: its columns, its metadata, and what an evaluation reads back from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from paft.tasks.task import Task
from paft.types import Example, Prompt

if TYPE_CHECKING:  # imports scipy
    from paft.evaluation.option_effects import OptionScores

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("example_id", pa.string()),
        ("prediction", pa.string()),  # null: no answer could be read
        ("comparison_key", pa.string()),  # what the scorer compares; null where that is the prediction
        ("target", pa.string()),
        ("score", pa.float32()),  # from 0 to 1
        ("correct", pa.bool_()),  # null: no answer could be read, or the scorer is not yes-or-no
        ("scores", pa.list_(pa.float32())),  # one log-likelihood per option; null when generated
        ("output", pa.string()),  # what the model wrote; null when options were scored
        ("generated_tokens", pa.int32()),
        ("finish", pa.string()),  # stop, length, refused or error; null when options were scored, or unknown
        ("other_scores", pa.list_(pa.float32())),  # of the task's other scorers, in their order
        ("explanation", pa.string()),  # the scorer's; null where it gave none
    ]
)
"""The columns, schema 2."""

SECONDS = b"paft.seconds"
"""In the metadata: how long the answers took."""
EXAMPLES = b"paft.examples"
"""In the metadata of a file that lacks some cells of the grid: JSON of the id and target of every example."""

SCORE_DIGITS = 6
"""The decimal places of a score that the file keeps."""

Cells = dict[str, set[str]]
"""Prompt id -> the ids of the examples that are answered under it."""


def seconds_of(path: Path) -> float:
    """Return how many seconds it took to make a predictions file."""
    return float((parquet.read_schema(path).metadata or {}).get(SECONDS, b"nan"))


def answered_cells(path: Path) -> Cells | None:
    """Return the cells of a file; None where it is missing or damaged."""
    try:
        table = parquet.read_table(path, columns=["prompt_id", "example_id"])
    except (OSError, pa.ArrowInvalid):
        return None
    cells: Cells = {}
    for prompt, example in zip(*table.to_pydict().values(), strict=True):
        cells.setdefault(prompt, set()).add(example)
    return cells


def read_scores(path: Path, prompts: Sequence[Prompt], examples: Sequence[Example]) -> np.ndarray:
    """Return the scores of a file, ``(prompts, examples)``; NaN where a cell is not answered."""
    scores = np.full((len(prompts), len(examples)), np.nan)
    column = parquet.read_table(path, columns=["score"])["score"].to_numpy()
    scores[_places(path, prompts, examples)] = as_scored(column)
    return scores


def as_scored(column: np.ndarray) -> np.ndarray:
    """Return scores of single precision as the scorer gave them: 0.9, not 0.899999976."""
    return np.round(column.astype(float), SCORE_DIGITS)


def read_options(
    path: Path, prompts: Sequence[Prompt], examples: Sequence[Example], task: Task
) -> "OptionScores | None":
    """Return the options of a file, NaN where a cell is not answered; None where they are not scored.

    None too where the examples differ in how many options they have.
    """
    from paft.evaluation.option_effects import OptionScores

    right, rows = right_options(task, examples), read_likelihoods(path)
    if right is None or rows is None or rows.shape[1] != right.shape[1]:
        return None
    likelihoods = np.full((len(prompts), *right.shape), np.nan)
    likelihoods[_places(path, prompts, examples)] = rows
    return OptionScores(likelihoods, right)


def right_options(task: Task, examples: Sequence[Example]) -> np.ndarray | None:
    """Return which options are right, ``(examples, options)``; None where examples differ in their number."""
    options = [task.candidates(example) for example in examples]
    if len({len(names) for names in options}) != 1 or not options[0]:
        return None
    targets = [task.target(example) for example in examples]
    return np.array([[name == target for name in names] for names, target in zip(options, targets, strict=True)])


def read_likelihoods(path: Path) -> np.ndarray | None:
    """Return the log-likelihoods of each row's options, ``(rows, options)``.

    None where there are none: answers were generated, or the rows differ in how many options they have.
    """
    column = parquet.read_table(path, columns=["scores"])["scores"].combine_chunks()
    if column.null_count or not len(column):
        return None
    values = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    count = len(values) // len(column)
    if not count or not (np.diff(column.offsets.to_numpy()) == count).all():
        return None
    return values.reshape(len(column), count)


def _places(path: Path, prompts: Sequence[Prompt], examples: Sequence[Example]) -> tuple[list[int], list[int]]:
    """Return the indices of the prompt and of the example of each row."""
    prompt_index = {prompt.id: index for index, prompt in enumerate(prompts)}
    example_index = {example.id: index for index, example in enumerate(examples)}
    table = parquet.read_table(path, columns=["prompt_id", "example_id"]).to_pydict()
    return [prompt_index[i] for i in table["prompt_id"]], [example_index[i] for i in table["example_id"]]
