"""Read a run directory. Damaged and missing files are listed in the result; everything else is read."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from paft.errors import UserError, one_line
from paft.evaluation.metrics import Summary, summarise
from paft.evaluation.paired import Difference, differences
from paft.runs.directory import RunDirectory
from paft.types import Prompt
from paft.utils.safe_io import parquet_batches

GRID_COLUMNS = ("prompt_id", "example_id", "generated_tokens")

FIRST_TITLES = {"base": "the base model", "user": "the fixed prompt", "paft": "PAFT"}
"""Titles of the methods in runs that predate ``method_titles``."""


@dataclass(frozen=True)
class Grid:
    """A complete ``predictions.parquet``.

    Attributes:
        scores: ``(prompts, examples)``, from 0 to 1.
        unparsed: ``(prompts, examples)``, True where no answer could be read.
    """

    path: Path
    prompt_ids: tuple[str, ...]
    example_ids: tuple[str, ...]
    scores: np.ndarray
    unparsed: np.ndarray
    seconds: float
    generated_tokens: int

    @property
    def right(self) -> np.ndarray:
        """``(prompts, examples)``, True where the score is 1."""
        return self.scores >= 1


@dataclass(frozen=True)
class MethodResult:
    """The results of one method."""

    name: str
    summary: Summary
    grid: Grid = field(repr=False)
    log: list[dict[str, Any]] = field(repr=False)
    choosing: dict[str, float] = field(default_factory=dict)
    """The cost of choosing a prompt, as in ``choice.json``; empty for a method that chooses none."""

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """The prompts' ids, in the order of the summary's ``per_prompt``."""
        return self.grid.prompt_ids

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training; None if the method does not train."""
        return sum(row["seconds"] for row in self.log) if self.log else None

    @property
    def train_tokens(self) -> int:
        """The number of tokens processed in training."""
        return sum(row["tokens"] for row in self.log)

    @property
    def train_examples_per_second(self) -> float | None:
        """Training throughput in examples per second."""
        seconds = self.train_seconds
        return sum(row["examples"] for row in self.log) / seconds if seconds else None

    @property
    def eval_examples_per_second(self) -> float:
        """Evaluation throughput in questions per second, over the whole grid."""
        return self.summary.prompts * self.summary.examples / self.grid.seconds if self.grid.seconds else 0.0


@dataclass(frozen=True)
class RunResult:
    """A run: its config, its finished methods, and the state of the others.

    Attributes:
        unfinished: the methods without complete predictions, each with its progress.
        damaged: file name -> what is wrong with it. A method whose predictions are damaged is also unfinished.
        prompts, train_prompts: by id.
        examples: rows of ``examples.jsonl`` by id; empty if there is no such file.
    """

    path: Path
    config: dict[str, Any]
    methods: list[MethodResult]
    unfinished: dict[str, str]
    damaged: dict[str, str]
    top: float
    chance: float
    prompts: dict[str, Prompt]
    train_prompts: dict[str, Prompt]
    examples: dict[str, dict[str, Any]]

    @cached_property
    def differences(self) -> list[Difference]:
        """The comparisons of all pairs of methods; methods with another grid than the first one's are left out."""
        same: dict[str, np.ndarray] = {}
        for method in self.methods:
            grid, first = method.grid, self.methods[0].grid
            if (grid.prompt_ids, grid.example_ids) == (first.prompt_ids, first.example_ids):
                same[method.name] = grid.scores
        return differences(same)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Facts that the run recorded in addition to its config."""
        facts = self.config.get("run")
        return facts if isinstance(facts, dict) else {}

    @property
    def command(self) -> str:
        """The command that reproduces the run from within its directory."""
        processes = self.facts.get("processes")
        several = isinstance(processes, int) and processes > 1
        return (
            f"torchrun --nproc-per-node {processes} -m paft run config.yaml" if several else "paft run config.yaml"
        )

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.config["task"]["name"])

    @property
    def model(self) -> str:
        """The model's path or id."""
        return str(self.config["model"]["path"])

    @property
    def model_in_words(self) -> str:
        """The model with its adapter, or its endpoint."""
        adapter, endpoint = (self.config["model"].get(key) for key in ("adapter", "base_url"))
        more = f" with the adapter {adapter}" if adapter else f" at {endpoint}" if endpoint else ""
        return f"{self.model}{more}"

    @property
    def trains(self) -> bool:
        """Whether a method of the run trains. If none does, no prompt can be called unseen."""
        trained = self.facts.get("trained")
        if isinstance(trained, list):
            return bool(trained)
        return self.config.get("methods") != ["base"]  # a run of the first version

    def title(self, method: str) -> str:
        """Return the name of a method for use in a sentence."""
        titles = self.facts.get("method_titles", FIRST_TITLES)
        title = titles.get(method) if isinstance(titles, dict) else None
        return title if isinstance(title, str) else method

    @property
    def test_prompts(self) -> str:
        """The term for the test prompts."""
        return "unseen prompts" if self.trains else "prompts"

    @property
    def mode(self) -> str:
        """How answers are obtained: ``likelihood`` or ``generate``."""
        evaluation = self.config.get("evaluation")
        evaluation = evaluation if isinstance(evaluation, dict) else {}
        return str(evaluation.get("mode", evaluation.get("answers", "generate")))  # the key's name in older runs

    @property
    def problems(self) -> list[str]:
        """One line for each damaged file and each unfinished method."""
        lines = [f"{name}: {why}" for name, why in self.damaged.items()]
        return lines + [f"{name} is not finished: {state}" for name, state in self.unfinished.items()]


def read_run(path: Path) -> RunResult:
    """Read a run directory.

    Raises:
        UserError: the folder is not a run directory.
    """
    directory = RunDirectory(path)
    config = _read_config(directory)
    facts = config.get("run") if isinstance(config.get("run"), dict) else {}
    top, chance = _number(facts, "top", 0.85), _number(facts, "chance", 0.0)
    damaged: dict[str, str] = {}
    methods, unfinished = [], {}
    for name in _names(config):
        folder = directory.method(name)
        log = _log(folder / "train.jsonl", path, damaged)
        try:
            grid = read_grid(folder / "predictions.parquet")
        except FileNotFoundError:
            unfinished[name] = _progress(folder, log)
        except (OSError, pa.ArrowException, ValueError) as error:
            damaged[f"methods/{name}/predictions.parquet"] = (
                f"damaged ({one_line(error, 160)}); remove the file and run the same command again"
            )
            unfinished[name] = "its predictions are damaged"
        else:
            summary = summarise(grid.scores, int(grid.unparsed.sum()), top)
            choosing = _choosing(folder / "choice.json", path, damaged)
            methods.append(MethodResult(name, summary, grid, log, choosing))
    prompts = _prompts(directory.prompts("test"), path, damaged)
    train_prompts = _prompts(directory.prompts("train"), path, damaged)
    rows = _rows(directory.examples, path, damaged)
    examples = {row["id"]: row for row in rows if isinstance(row.get("id"), str)}
    _check_complete(
        directory.prompts("test"), path, prompts, [i for m in methods for i in m.grid.prompt_ids], damaged
    )
    if examples:
        _check_complete(
            directory.examples, path, examples, [i for m in methods for i in m.grid.example_ids], damaged
        )
    return RunResult(path, config, methods, unfinished, damaged, top, chance, prompts, train_prompts, examples)


def read_grid(path: Path) -> Grid:
    """Read a predictions file. Files of the first version, which have no column ``score``, are accepted.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: it is not a complete grid (``pyarrow.ArrowInvalid`` is a ValueError).
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    file = parquet.ParquetFile(path)
    names = file.schema_arrow.names
    needed = (*GRID_COLUMNS, *(("score", "prediction") if "score" in names else ("correct",)))
    if missing := [name for name in needed if name not in names]:
        raise ValueError(f"no column {missing[0]}")
    columns = [name for name in names if name in needed]  # batches have the columns in the order of the file
    table = pa.Table.from_batches(parquet_batches(path, columns), pa.schema(map(file.schema_arrow.field, columns)))
    prompts = table["prompt_id"].to_pylist()
    examples = table["example_id"].to_pylist()
    prompt_ids = list(dict.fromkeys(prompts))
    size = len(prompts) // len(prompt_ids) if prompt_ids else 0
    expected = [(prompt, example) for prompt in prompt_ids for example in examples[:size]]
    if not prompt_ids or list(zip(prompts, examples, strict=True)) != expected:
        raise ValueError(f"its {len(prompts)} rows do not form a complete grid of prompts and examples")
    scores, unparsed = _scores(table)
    seconds = float((file.schema_arrow.metadata or {}).get(b"paft.seconds", b"nan"))
    generated = compute.sum(table["generated_tokens"]).as_py() or 0
    shape = len(prompt_ids), size
    return Grid(
        path,
        tuple(prompt_ids),
        tuple(examples[:size]),
        scores.reshape(shape),
        unparsed.reshape(shape),
        seconds,
        generated,
    )


def _scores(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each row, and whether its answer could not be parsed."""
    column = "score" if "score" in table.column_names else "correct"
    scores = compute.fill_null(table[column].cast(pa.float64()), 0.0).to_numpy()
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is outside the range 0 to 1")
    unparsed = table["prediction" if column == "score" else "correct"].is_null()
    return scores, unparsed.to_numpy(zero_copy_only=False)


def _names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the run's methods; an entry is a name or the mapping of a named variant."""
    return [str(entry.get("name") if isinstance(entry, dict) else entry) for entry in config["methods"]]


def _read_config(directory: RunDirectory) -> dict[str, Any]:
    config = directory.read_config()
    for section, key in (("task", "name"), ("model", "path")):
        if not isinstance(config.get(section), dict) or key not in config[section]:
            raise UserError(f"{directory.config_file}: not the config of a run: {section}.{key} is missing")
    if not isinstance(config.get("methods"), list):
        raise UserError(f"{directory.config_file}: not the config of a run: methods is not a list")
    return config


def _number(facts: Any, key: str, default: float) -> float:
    value = facts.get(key, default)
    return float(value) if isinstance(value, int | float) else default


def _choosing(path: Path, run: Path, damaged: dict[str, str]) -> dict[str, float]:
    if not path.is_file():
        return {}
    try:
        choice = json.loads(path.read_bytes())
        return {key: float(value) for key, value in choice.items() if key not in ("prompt", "accuracy")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        damaged[str(path.relative_to(run))] = "damaged; the cost of choosing the prompt is not shown"
        return {}


def _progress(folder: Path, log: list[dict[str, Any]]) -> str:
    """Return the progress of a method whose predictions are not complete."""
    if parts := len(list((folder / "predictions").glob("*.parquet"))):
        return f"{parts} test prompts answered so far"
    if (folder / "adapter").is_dir():
        return "trained, no test prompt answered yet"
    return f"training stopped at step {log[-1]['step']}" if log else "not started"


def _rows(path: Path, run: Path, damaged: dict[str, str]) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file up to the first damaged line; no rows if there is no file."""
    try:
        lines = path.read_bytes().split(b"\n")  # splitlines would also split at Unicode line separators in a text
    except FileNotFoundError:
        return []
    except OSError as error:
        damaged[str(path.relative_to(run))] = f"cannot be read: {error.strerror}"
        return []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line) if line.strip() else None
            if row is not None and not isinstance(row, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            if number < len(lines) or path.name != "train.jsonl":  # a kill may truncate the last row of a log
                damaged[str(path.relative_to(run))] = f"damaged at line {number}; the lines before it are shown"
            break
        if row is not None:
            rows.append(row)
    return rows


def _log(path: Path, run: Path, damaged: dict[str, str]) -> list[dict[str, Any]]:
    rows = []
    for number, row in enumerate(_rows(path, run, damaged), start=1):
        row.setdefault("tokens", 0)
        if not all(isinstance(row.get(key), int | float) for key in ("step", "loss", "seconds", "examples")):
            damaged[str(path.relative_to(run))] = (
                f"line {number} is not a valid log row; the lines before it are shown"
            )
            break
        ids = row.get("prompt_ids", [row.get("prompt_id")])  # runs of the first version have a single id
        row["prompt_ids"] = [i for i in ids if isinstance(i, str)] if isinstance(ids, list) else []
        rows.append(row)
    return rows


def _prompts(path: Path, run: Path, damaged: dict[str, str]) -> dict[str, Prompt]:
    rows = _rows(path, run, damaged)
    return {
        row["id"]: Prompt(
            row["text"], row.get("system") if isinstance(row.get("system"), str) else None, id=row["id"]
        )
        for row in rows
        if isinstance(row.get("id"), str) and isinstance(row.get("text"), str)
    }


def _check_complete(
    path: Path, run: Path, ids: Collection[str], used: Sequence[str], damaged: dict[str, str]
) -> None:
    """Add a file to ``damaged`` if it lacks prompts or examples that the predictions use."""
    required = set(used)
    if missing := len(required - set(ids)):
        reason = (
            f"{missing} of the {len(required)} entries that the predictions use are missing; their ids are shown"
        )
        damaged.setdefault(str(path.relative_to(run)), reason)
