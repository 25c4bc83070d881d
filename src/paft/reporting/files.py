"""Read the files of a run directory that may be damaged: what is wrong is noted, the rest is returned."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from paft.types import Prompt


class RunFiles:
    """Reads the files of a run directory as far as they are whole.

    Attributes:
        damaged: what is wrong with a file, by its name relative to the run directory.
    """

    def __init__(self, run: Path):
        self.run = run
        self.damaged: dict[str, str] = {}

    def note(self, path: Path, reason: str) -> None:
        """Note what is wrong with a file, in place of what was noted before."""
        self.damaged[path.relative_to(self.run).as_posix()] = reason

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """Return the objects of a JSON lines file up to the first damaged line; no rows if there is no file."""
        try:
            lines = path.read_bytes().split(b"\n")  # splitlines would also split at Unicode line separators
        except FileNotFoundError:
            return []
        except OSError as error:
            self.note(path, f"cannot be read: {error.strerror}")
            return []
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line) if line.strip() else None
                if row is not None and not isinstance(row, dict):
                    raise ValueError("not an object")
            except (ValueError, RecursionError):
                if number < len(lines) or path.name != "train.jsonl":  # a kill may truncate the last row of a log
                    self.note(path, f"damaged at line {number}; the lines before it are shown")
                break
            if row is not None:
                rows.append(row)
        return rows

    def training_log(self, path: Path) -> list[dict[str, Any]]:
        """Return the rows of a ``train.jsonl`` up to the first one that is not valid."""
        rows = []
        for number, row in enumerate(self.rows(path), start=1):
            row.setdefault("tokens", 0)
            if not all(isinstance(row.get(key), int | float) for key in ("step", "loss", "seconds", "examples")):
                self.note(path, f"line {number} is not a valid log row; the lines before it are shown")
                break
            ids = row.get("prompt_ids", [row.get("prompt_id")])  # runs of the first version have a single id
            row["prompt_ids"] = [i for i in ids if isinstance(i, str)] if isinstance(ids, list) else []
            rows.append(row)
        return rows

    def prompts(self, path: Path) -> dict[str, Prompt]:
        """Return the prompts of a file by id; rows without an id or a text are left out."""
        prompts = {}
        for row in self.rows(path):
            prompt_id, text, system = row.get("id"), row.get("text"), row.get("system")
            if isinstance(prompt_id, str) and isinstance(text, str):
                prompts[prompt_id] = Prompt(text, system if isinstance(system, str) else None, id=prompt_id)
        return prompts

    def check_complete(self, path: Path, ids: Collection[str], used: Sequence[str]) -> None:
        """Note a file that lacks prompts or examples that the predictions use.

        Args:
            ids: that the file has.
            used: that the predictions use.
        """
        required = set(used)
        missing = len(required - set(ids))
        if missing and path.relative_to(self.run).as_posix() not in self.damaged:  # a damaged line is the cause
            self.note(
                path,
                f"{missing} of the {len(required)} entries that the predictions use are missing; their ids are "
                "shown",
            )

    def judge(self, path: Path) -> dict[str, Any]:
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
            self.note(
                path,
                "damaged; what the judge was asked is not shown; remove the file and run the same command again",
            )
            return {}

    def search_cost(self, path: Path) -> dict[str, float]:
        """Return the cost of choosing a prompt, as in ``choice.json``; nothing if there is no such file."""
        if not path.is_file():
            return {}
        try:
            choice = json.loads(path.read_bytes())
            return {key: float(value) for key, value in choice.items() if key not in ("prompt", "accuracy")}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self.note(path, "damaged; the cost of choosing the prompt is not shown")
            return {}
