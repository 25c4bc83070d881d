"""Read ``predictions.parquet``: the grid of prompts and examples with the state of each cell."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from paft.evaluation.consistency import UNREAD
from paft.evaluation.failures import FINISHES
from paft.evaluation.predictions import EXAMPLES, SECONDS, as_scored
from paft.utils.safe_io import parquet_batches

GRID_COLUMNS = ("prompt_id", "example_id", "prediction", "target", "generated_tokens")
LATER_COLUMNS = ("finish", "other_scores", "comparison_key")
"""Columns that files of older versions lack."""


@dataclass(frozen=True)
class Grid:
    """A finished ``predictions.parquet``: of all cells, or of those of a plan (``evaluation.cells``).

    Attributes:
        targets: of each example; of several accepted answers, the first.
        answered: ``(prompts, examples)``, False where a cell was not asked.
        scores: ``(prompts, examples)``, from 0 to 1; NaN where a cell was not asked.
        unparsed: ``(prompts, examples)``, True where no answer could be read.
        answers: ``(prompts, examples)``, equal numbers where the answers are equal text, except for the space
            around it; :data:`paft.evaluation.consistency.UNREAD` where none could be read.
        finish: ``(prompts, examples)``, indices into :data:`paft.evaluation.failures.FINISHES`.
        other_scores: ``(scorers, prompts, examples)``, from 0 to 1, of the task's further scorers; NaN where a
            cell was not asked.
    """

    path: Path
    prompt_ids: tuple[str, ...]
    example_ids: tuple[str, ...]
    targets: tuple[str, ...]
    answered: np.ndarray
    scores: np.ndarray
    unparsed: np.ndarray
    answers: np.ndarray
    finish: np.ndarray
    other_scores: np.ndarray
    seconds: float
    generated_tokens: int

    @property
    def right(self) -> np.ndarray:
        """``(prompts, examples)``, True where the score is 1."""
        return self.scores >= 1

    @property
    def is_binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return bool(np.isin(self.scores[self.answered], (0, 1)).all())

    @cached_property
    def rows(self) -> np.ndarray:
        """``(prompts, examples)``: the row of the file of each answered cell."""
        return np.cumsum(self.answered.ravel()).reshape(self.answered.shape) - 1

    @property
    def is_complete(self) -> bool:
        """Whether every cell was asked."""
        return bool(self.answered.all())


def read_grid(path: Path) -> Grid:
    """Read a predictions file. Files of older versions, which lack columns, are accepted.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is neither a complete grid nor one of a plan (``pyarrow.ArrowInvalid`` is a ValueError).
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    file = parquet.ParquetFile(path)
    names = file.schema_arrow.names
    needed = (*GRID_COLUMNS, "score" if "score" in names else "correct")
    if missing := [name for name in (*needed, "output") if name not in names]:
        raise ValueError(f"no column {missing[0]}")
    # batches have the columns in the order of the file
    columns = [name for name in names if name in (*needed, *LATER_COLUMNS)]
    table = pa.Table.from_batches(parquet_batches(path, columns), pa.schema(map(file.schema_arrow.field, columns)))
    metadata = file.schema_arrow.metadata or {}
    prompt_ids, examples, answered = _cells(table, metadata.get(EXAMPLES))
    scores, unparsed = _scores(table)

    def filled(values: np.ndarray, missing: float) -> np.ndarray:
        """Put the values of the rows into the cells that were asked."""
        grid = np.full((*values.shape[:-1], *answered.shape), missing, dtype=values.dtype)
        grid[..., answered] = values
        return grid

    return Grid(
        path,
        tuple(prompt_ids),
        tuple(examples),
        tuple(examples.values()),
        answered,
        filled(scores, np.nan),
        filled(unparsed, False),
        filled(_answers(table, unparsed), UNREAD),
        filled(_finish(table), 0),
        filled(_other_scores(table), np.nan),
        seconds=float(metadata.get(SECONDS, b"nan")),
        generated_tokens=compute.sum(table["generated_tokens"]).as_py() or 0,
    )


def _cells(table: pa.Table, recorded: bytes | None) -> tuple[list[str], dict[str, str], np.ndarray]:
    """Return the prompts, the target of each example, and which cells the rows are, ``(prompts, examples)``.

    Args:
        recorded: JSON of the ids and targets of all examples, in a file that lacks some cells.
    """
    prompts, examples = table["prompt_id"].to_pylist(), table["example_id"].to_pylist()
    prompt_ids = list(dict.fromkeys(prompts))
    if recorded is None:
        size = len(prompts) // len(prompt_ids) if prompt_ids else 0
        targets = dict(zip(examples[:size], map(str, table["target"][:size].to_pylist()), strict=True))
    else:
        try:
            targets = {str(example): str(target) for example, target in json.loads(recorded)}
        except TypeError:
            raise ValueError("its list of examples is damaged") from None
    rows = {prompt: index for index, prompt in enumerate(prompt_ids)}
    columns = {example: index for index, example in enumerate(targets)}
    places = [rows[p] * len(columns) + columns.get(e, -1) for p, e in zip(prompts, examples, strict=True)]
    answered = np.zeros(len(rows) * len(columns), dtype=bool)
    answered[places] = True
    ordered = bool((np.diff(places) > 0).all())
    if (
        not prompt_ids
        or not columns.keys() >= set(examples)
        or not ordered
        or (recorded is None and not answered.all())
    ):
        raise ValueError(f"its {len(prompts)} rows do not form a complete grid of prompts and examples")
    return prompt_ids, targets, answered.reshape(len(rows), len(columns))


def _scores(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each row, and whether its answer could not be parsed."""
    column = "score" if "score" in table.column_names else "correct"
    scores = as_scored(compute.fill_null(table[column].cast(pa.float64()), 0.0).to_numpy())
    _check_range(scores, "score")
    unparsed = table["prediction" if column == "score" else "correct"].is_null()
    return scores, unparsed.to_numpy(zero_copy_only=False)


def _answers(table: pa.Table, unparsed: np.ndarray) -> np.ndarray:
    """Return a number for the answer of each row, the same for answers that are equal to the scorer."""
    text = compute.utf8_trim_whitespace(table["prediction"].cast(pa.string()))
    if "comparison_key" in table.column_names:
        text = compute.coalesce(table["comparison_key"].cast(pa.string()), text)
    numbers = text.combine_chunks().dictionary_encode().indices
    return np.where(unparsed, UNREAD, compute.fill_null(numbers, UNREAD).to_numpy())


def _finish(table: pa.Table) -> np.ndarray:
    """Return why the model stopped in each row; 0 where the file does not say."""
    if "finish" not in table.column_names:
        return np.zeros(len(table), dtype=np.uint8)
    codes = compute.index_in(table["finish"].cast(pa.string()), pa.array(FINISHES))
    return compute.fill_null(codes, 0).to_numpy().astype(np.uint8)


def _other_scores(table: pa.Table) -> np.ndarray:
    """Return the values of the further scorers, ``(scorers, rows)``; no scorers where the file has none."""
    if "other_scores" not in table.column_names or table["other_scores"].null_count == len(table):
        return np.zeros((0, len(table)))
    column = table["other_scores"].combine_chunks()
    counts = set(compute.list_value_length(column).to_pylist())
    if len(counts) > 1:
        raise ValueError("column other_scores: its rows do not all have the same number of scores")
    values = as_scored(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(table), -1).T
    _check_range(values, "score of a further scorer")
    return values


def _check_range(scores: np.ndarray, name: str) -> None:
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"a {name} is outside the range 0 to 1")
