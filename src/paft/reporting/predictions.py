"""Read ``predictions.parquet``: the grid of prompts and examples with the state of each cell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from paft.evaluation.consistency import UNREAD
from paft.evaluation.failures import FINISHES
from paft.utils.safe_io import parquet_batches

GRID_COLUMNS = ("prompt_id", "example_id", "prediction", "target", "generated_tokens")
LATER_COLUMNS = ("finish", "other_scores")
"""Columns that files of older versions lack."""


@dataclass(frozen=True)
class Grid:
    """A complete ``predictions.parquet``.

    Attributes:
        targets: of each example; of several accepted answers, the first.
        scores: ``(prompts, examples)``, from 0 to 1.
        unparsed: ``(prompts, examples)``, True where no answer could be read.
        answers: ``(prompts, examples)``, equal numbers where the answers are equal text, except for the space
            around it; :data:`paft.evaluation.consistency.UNREAD` where none could be read.
        finish: ``(prompts, examples)``, indices into :data:`paft.evaluation.failures.FINISHES`.
        other_scores: ``(scorers, prompts, examples)``, from 0 to 1, of the task's further scorers.
    """

    path: Path
    prompt_ids: tuple[str, ...]
    example_ids: tuple[str, ...]
    targets: tuple[str, ...]
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
        return bool(np.isin(self.scores, (0, 1)).all())


def read_grid(path: Path) -> Grid:
    """Read a predictions file. Files of older versions, which lack columns, are accepted.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is not a complete grid (``pyarrow.ArrowInvalid`` is a ValueError).
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
    prompts = table["prompt_id"].to_pylist()
    examples = table["example_id"].to_pylist()
    prompt_ids = list(dict.fromkeys(prompts))
    size = len(prompts) // len(prompt_ids) if prompt_ids else 0
    expected = [(prompt, example) for prompt in prompt_ids for example in examples[:size]]
    if not prompt_ids or list(zip(prompts, examples, strict=True)) != expected:
        raise ValueError(f"its {len(prompts)} rows do not form a complete grid of prompts and examples")
    scores, unparsed = _scores(table)
    shape = len(prompt_ids), size
    return Grid(
        path,
        tuple(prompt_ids),
        tuple(examples[:size]),
        tuple(map(str, table["target"][:size].to_pylist())),
        scores.reshape(shape),
        unparsed.reshape(shape),
        _answers(table, unparsed).reshape(shape),
        _finish(table).reshape(shape),
        _other_scores(table).reshape(-1, *shape),
        seconds=float((file.schema_arrow.metadata or {}).get(b"paft.seconds", b"nan")),
        generated_tokens=compute.sum(table["generated_tokens"]).as_py() or 0,
    )


def _scores(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each row, and whether its answer could not be parsed."""
    column = "score" if "score" in table.column_names else "correct"
    scores = compute.fill_null(table[column].cast(pa.float64()), 0.0).to_numpy()
    _check_range(scores, "score")
    unparsed = table["prediction" if column == "score" else "correct"].is_null()
    return scores, unparsed.to_numpy(zero_copy_only=False)


def _answers(table: pa.Table, unparsed: np.ndarray) -> np.ndarray:
    """Return a number for the answer of each row, the same for equal answers."""
    text = compute.utf8_trim_whitespace(table["prediction"].cast(pa.string()))
    numbers = text.combine_chunks().dictionary_encode().indices
    return np.where(unparsed, UNREAD, compute.fill_null(numbers, UNREAD).to_numpy())


def _finish(table: pa.Table) -> np.ndarray:
    """Return why the model stopped in each row; 0 where the file does not say."""
    if "finish" not in table.column_names:
        return np.zeros(len(table), dtype=np.uint8)
    found = compute.index_in(table["finish"].cast(pa.string()), pa.array(FINISHES))
    return compute.fill_null(found, 0).to_numpy().astype(np.uint8)


def _other_scores(table: pa.Table) -> np.ndarray:
    """Return the values of the further scorers, ``(scorers, rows)``; no scorers where the file has none."""
    if "other_scores" not in table.column_names or table["other_scores"].null_count == len(table):
        return np.zeros((0, len(table)))
    column = table["other_scores"].combine_chunks()
    counts = set(compute.list_value_length(column).to_pylist())
    if len(counts) > 1:
        raise ValueError("column other_scores: its rows do not all have the same number of scores")
    values = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False).reshape(len(table), -1).T
    _check_range(values, "score of a further scorer")
    return values


def _check_range(scores: np.ndarray, name: str) -> None:
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"a {name} is outside the range 0 to 1")
