"""What a run directory holds, as figures; what is damaged or missing is named and the rest is read."""

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

GRID_COLUMNS = ("prompt_id", "example_id", "correct", "generated_tokens")


@dataclass(frozen=True)
class Grid:
    """A whole ``predictions.parquet``: ``right`` and ``unparsed`` are boolean arrays ``(prompts, examples)``."""

    path: Path
    prompt_ids: tuple[str, ...]
    example_ids: tuple[str, ...]
    right: np.ndarray
    unparsed: np.ndarray
    seconds: float
    generated_tokens: int


@dataclass(frozen=True)
class MethodResult:
    """What one method reached."""

    name: str
    summary: Summary
    grid: Grid = field(repr=False)
    log: list[dict[str, Any]] = field(repr=False)
    choosing: dict[str, float] = field(default_factory=dict)
    """What a baseline's choice of its prompt cost, as ``choice.json`` has it."""

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """The prompts' ids, in the order of the summary's ``per_prompt``."""
        return self.grid.prompt_ids

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training; None where nothing was trained."""
        return sum(row["seconds"] for row in self.log) if self.log else None

    @property
    def train_tokens(self) -> int:
        """Tokens that training computed."""
        return sum(row["tokens"] for row in self.log)

    @property
    def train_examples_per_second(self) -> float | None:
        """Examples trained on a second."""
        seconds = self.train_seconds
        return sum(row["examples"] for row in self.log) / seconds if seconds else None

    @property
    def eval_examples_per_second(self) -> float:
        """Questions answered a second over the whole grid."""
        return self.summary.prompts * self.summary.examples / self.grid.seconds if self.grid.seconds else 0.0


@dataclass(frozen=True)
class RunResult:
    """A run: its config, the methods that are finished, and what keeps the others from being shown.

    Attributes:
        unfinished: methods of the config without whole predictions, each with how far it is.
        damaged: file and what is wrong with it; a method whose predictions are damaged is unfinished too.
        prompts, train_prompts: by id.
        examples: rows of ``examples.jsonl`` by id; empty for a run that has none.
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
        """Every two methods that were asked the same, compared; methods with another grid are left out."""
        same: dict[str, np.ndarray] = {}
        for method in self.methods:
            grid, first = method.grid, self.methods[0].grid
            if (grid.prompt_ids, grid.example_ids) == (first.prompt_ids, first.example_ids):
                same[method.name] = grid.right.astype(float)
        return differences(same)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the run noted down beside its config."""
        facts = self.config.get("run")
        return facts if isinstance(facts, dict) else {}

    @property
    def command(self) -> str:
        """What makes the run again, in the run's folder."""
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
        """Whether there is a method to train: else no prompt can be called unseen."""
        return self.config.get("methods") != ["base"]

    @property
    def test_prompts(self) -> str:
        """What the test prompts are called."""
        return "unseen prompts" if self.trains else "prompts"

    @property
    def mode(self) -> str:
        """``likelihood`` or ``generate``."""
        return str((self.config.get("evaluation") or {}).get("mode", "generate"))

    @property
    def problems(self) -> list[str]:
        """One line for each thing that is not there or not whole."""
        lines = [f"{name}: {why}" for name, why in self.damaged.items()]
        return lines + [f"{name} is not finished: {state}" for name, state in self.unfinished.items()]


def read_run(path: Path) -> RunResult:
    """Read a run directory.

    Raises:
        UserError: the folder is no run directory.
    """
    directory = RunDirectory(path)
    config = _checked(directory)
    facts = config.get("run") if isinstance(config.get("run"), dict) else {}
    top, chance = _number(facts, "top", 0.85), _number(facts, "chance", 0.0)
    damaged: dict[str, str] = {}
    methods, unfinished = [], {}
    for name in map(str, config["methods"]):
        folder = directory.method(name)
        log = _log(folder / "train.jsonl", path, damaged)
        try:
            grid = read_grid(folder / "predictions.parquet")
        except FileNotFoundError:
            unfinished[name] = _progress(folder, log)
        except (OSError, pa.ArrowException, ValueError) as error:
            damaged[f"methods/{name}/predictions.parquet"] = (
                f"damaged ({one_line(error, 160)}); remove the file, and the same `paft run` makes it again"
            )
            unfinished[name] = "its predictions are damaged"
        else:
            summary = summarise(grid.right.astype(np.int8), int(grid.unparsed.sum()), top)
            choosing = _choosing(folder / "choice.json", path, damaged)
            methods.append(MethodResult(name, summary, grid, log, choosing))
    prompts = _prompts(directory.prompts("test"), path, damaged)
    train_prompts = _prompts(directory.prompts("train"), path, damaged)
    rows = _rows(directory.examples, path, damaged)
    examples = {row["id"]: row for row in rows if isinstance(row.get("id"), str)}
    _lacking(directory.prompts("test"), path, prompts, [i for m in methods for i in m.grid.prompt_ids], damaged)
    if examples:
        _lacking(directory.examples, path, examples, [i for m in methods for i in m.grid.example_ids], damaged)
    return RunResult(path, config, methods, unfinished, damaged, top, chance, prompts, train_prompts, examples)


def read_grid(path: Path) -> Grid:
    """Read a predictions file.

    Raises:
        OSError: it cannot be read; FileNotFoundError where there is none.
        ValueError: it is no whole grid (``pyarrow.ArrowInvalid`` is one).
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    file = parquet.ParquetFile(path)
    if missing := [name for name in GRID_COLUMNS if name not in file.schema_arrow.names]:
        raise ValueError(f"no column {missing[0]}")
    table = pa.Table.from_batches(
        parquet_batches(path, GRID_COLUMNS), pa.schema(map(file.schema_arrow.field, GRID_COLUMNS))
    )
    prompts = table["prompt_id"].to_pylist()
    examples = table["example_id"].to_pylist()
    names = list(dict.fromkeys(prompts))
    size = len(prompts) // len(names) if names else 0
    expected = [(prompt, example) for prompt in names for example in examples[:size]]
    if not names or list(zip(prompts, examples, strict=True)) != expected:
        raise ValueError(f"its {len(prompts)} rows are no whole grid of prompts and examples")
    right = compute.fill_null(table["correct"], False).to_numpy(zero_copy_only=False)
    unparsed = table["correct"].is_null().to_numpy(zero_copy_only=False)
    seconds = float((file.schema_arrow.metadata or {}).get(b"paft.seconds", b"nan"))
    generated = compute.sum(table["generated_tokens"]).as_py() or 0
    shape = len(names), size
    return Grid(
        path,
        tuple(names),
        tuple(examples[:size]),
        right.reshape(shape),
        unparsed.reshape(shape),
        seconds,
        generated,
    )


def _checked(directory: RunDirectory) -> dict[str, Any]:
    config = directory.read_config()
    for section, key in (("task", "name"), ("model", "path")):
        if not isinstance(config.get(section), dict) or key not in config[section]:
            raise UserError(f"{directory.config_file}: not the config of a run: no {section}.{key}")
    if not isinstance(config.get("methods"), list):
        raise UserError(f"{directory.config_file}: not the config of a run: methods is no list")
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
        damaged[str(path.relative_to(run))] = "damaged; what choosing the prompt cost is not shown"
        return {}


def _progress(folder: Path, log: list[dict[str, Any]]) -> str:
    """Return how far a method without predictions is."""
    if parts := len(list((folder / "predictions").glob("*.parquet"))):
        return f"{parts} test prompts answered so far"
    if (folder / "adapter").is_dir():
        return "trained, no test prompt answered yet"
    return f"training stopped at step {log[-1]['step']}" if log else "not started"


def _rows(path: Path, run: Path, damaged: dict[str, str]) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file up to the first broken line; no rows where there is no file."""
    try:
        lines = path.read_bytes().split(b"\n")  # not splitlines: a text may hold other line ends
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
            if number < len(lines) or path.name != "train.jsonl":  # a torn last row of a log is work owed
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
                f"line {number} is no row of a log; the lines before it are shown"
            )
            break
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


def _lacking(path: Path, run: Path, known: Collection[str], asked: Sequence[str], damaged: dict[str, str]) -> None:
    """Name a file that does not hold everything that the predictions are about."""
    wanted = set(asked)
    if lacking := len(wanted - set(known)):
        reason = f"{lacking} of the {len(wanted)} that were asked are not in it; they are shown by their ids"
        damaged.setdefault(str(path.relative_to(run)), reason)
