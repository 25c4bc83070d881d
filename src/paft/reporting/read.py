"""What a run directory holds, as figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from paft.errors import UserError
from paft.evaluation.metrics import Summary, summarise
from paft.rundir import RunDirectory


@dataclass(frozen=True)
class MethodResult:
    """What one method reached."""

    name: str
    summary: Summary
    prompt_ids: tuple[str, ...]
    eval_seconds: float
    generated_tokens: int
    train_seconds: float | None
    train_examples_per_second: float | None

    @property
    def eval_examples_per_second(self) -> float:
        """Questions answered a second over the whole grid."""
        return self.summary.prompts * self.summary.examples / self.eval_seconds


@dataclass(frozen=True)
class RunResult:
    """A run: its config, the methods that are finished, and the names of those that are not."""

    path: Path
    config: dict[str, Any]
    methods: list[MethodResult]
    unfinished: list[str]
    top: float
    chance: float
    prompt_texts: dict[str, str]


def read_run(path: Path) -> RunResult:
    """Read a run directory; a method without whole predictions counts as unfinished.

    Raises:
        UserError: the folder is no run directory.
    """
    directory = RunDirectory(path)
    config = directory.read_config()
    facts = config.get("run") or {}
    top, chance = float(facts.get("top", 0.85)), float(facts.get("chance", 0.0))
    methods, unfinished = [], []
    for name in config.get("methods", []):
        result = _method(name, directory.method(name), top)
        if result is None:
            unfinished.append(name)
        else:
            methods.append(result)
    return RunResult(path, config, methods, unfinished, top, chance, _texts(directory.prompts("test")))


def correctness(path: Path) -> tuple[np.ndarray, list[str], int]:
    """Return ``(prompts, examples)`` with 1 for right answers, the prompts' ids, and how many are unparsed."""
    table = parquet.read_table(path, columns=["prompt_id", "correct"])
    ids = table["prompt_id"].to_numpy(zero_copy_only=False)
    names = list(dict.fromkeys(ids))
    right = compute.fill_null(table["correct"], False).to_numpy(zero_copy_only=False).astype(np.int8)
    return right.reshape(len(names), -1), names, table["correct"].null_count


def _method(name: str, folder: Path, top: float) -> MethodResult | None:
    path = folder / "predictions.parquet"
    try:
        correct, ids, unparsed = correctness(path)
        metadata = parquet.read_schema(path).metadata or {}
        generated = compute.sum(parquet.read_table(path, columns=["generated_tokens"])[0]).as_py() or 0
    except (OSError, pa.ArrowInvalid, ValueError):
        return None
    log = _log(folder / "train.jsonl")
    train_seconds = sum(row["seconds"] for row in log) if log else None
    examples = sum(row["examples"] for row in log)
    return MethodResult(
        name,
        summarise(correct, unparsed, top),
        tuple(ids),
        float(metadata.get(b"paft.seconds", b"nan")),
        generated,
        train_seconds,
        examples / train_seconds if train_seconds else None,
    )


def _log(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: a text may hold other line ends
    return [json.loads(line) for line in lines if line.endswith("}")]


def _texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"{path}: the run has no prompts")
    rows = _log(path)
    return {row["id"]: "\n".join(filter(None, (row.get("system"), row["text"]))) for row in rows}
