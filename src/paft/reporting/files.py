"""Read the files of a run directory that may be damaged: what is wrong is noted, the rest is returned."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from paft.types import Prompt


def read_rows(path: Path, run: Path, damaged: dict[str, str]) -> list[dict[str, Any]]:
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


def read_training_log(path: Path, run: Path, damaged: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a ``train.jsonl`` up to the first one that is not valid."""
    rows = []
    for number, row in enumerate(read_rows(path, run, damaged), start=1):
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


def read_prompts(path: Path, run: Path, damaged: dict[str, str]) -> dict[str, Prompt]:
    """Return the prompts of a file by id."""
    rows = read_rows(path, run, damaged)
    return {
        row["id"]: Prompt(
            row["text"], row.get("system") if isinstance(row.get("system"), str) else None, id=row["id"]
        )
        for row in rows
        if isinstance(row.get("id"), str) and isinstance(row.get("text"), str)
    }


def check_complete(
    path: Path, run: Path, ids: Collection[str], used: Sequence[str], damaged: dict[str, str]
) -> None:
    """Add a file to ``damaged`` if it lacks prompts or examples that the predictions use."""
    required = set(used)
    if missing := len(required - set(ids)):
        reason = (
            f"{missing} of the {len(required)} entries that the predictions use are missing; their ids are shown"
        )
        damaged.setdefault(str(path.relative_to(run)), reason)


def read_judge(path: Path, run: Path, damaged: dict[str, str]) -> dict[str, Any]:
    """Return what a run says of its judge, as in ``judge.json``; nothing if there is no such file."""
    if not path.is_file():
        return {}
    try:
        judge = json.loads(path.read_bytes())
        twice = int(judge.get("graded_twice") or 0)
        same = float(judge["same"]) if twice else None
        return judge | {
            "model": str(judge["model"]),
            "prompt": str(judge["prompt"]),
            "graded_twice": twice,
            "same": same,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        damaged[str(path.relative_to(run))] = (
            "damaged; what the judge was asked is not shown; remove the file and run the same command again"
        )
        return {}


def read_search_cost(path: Path, run: Path, damaged: dict[str, str]) -> dict[str, float]:
    """Return the cost of choosing a prompt, as in ``choice.json``; nothing if there is no such file."""
    if not path.is_file():
        return {}
    try:
        choice = json.loads(path.read_bytes())
        return {key: float(value) for key, value in choice.items() if key not in ("prompt", "accuracy")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        damaged[str(path.relative_to(run))] = "damaged; the cost of choosing the prompt is not shown"
        return {}
