"""The run directory: which config it belongs to, who works on it, where its files are."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from paft import __version__
from paft.config.schema import Config, HubSource, ModelConfig
from paft.errors import UserError
from paft.models.locate import locate
from paft.utils.io import make_folder, write_text
from paft.utils.safe_io import CONFIG, DATA, read_text, yaml_tree

PACE = re.compile(
    r"(model|.+\.llm|.+\.models\.\d+)\.(key|parallel|retries|timeout)|.+\.generate\.max_request_factor|model\.device"
)
"""Keys on how often a served model is asked and where a model runs; a run can be resumed with other values."""

SAMPLES = 1_024
"""Of a file larger than any data file, so many pieces of 64 KiB are compared."""

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""What a model is loaded from, of the files in its folder."""

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets")


class RunDirectory:
    """``RUN/`` as ``docs/design.md`` lays it out."""

    def __init__(self, path: Path):
        self.path = path
        self.config_file = path / "config.yaml"
        self.examples = path / "examples.jsonl"

    def method(self, name: str) -> Path:
        """Return the folder of a method; a name is never a path."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise UserError(f"{self.config_file}: {name!r} is no name of a method")
        return self.path / "methods" / name

    def prompts(self, name: str) -> Path:
        """Return the prompt file of that name."""
        return self.path / "prompts" / f"{name}.jsonl"

    def claim(self, config: Config, facts: dict[str, Any]) -> bool:
        """Make the directory this config's; return True where it already was.

        Args:
            facts: what the report needs and the config leaves open, such as the chance level.

        Raises:
            UserError: it belongs to another config, or holds something that is no run.
        """
        tree = _resolved(config)
        if not self.config_file.is_file():
            if self.path.is_dir() and not all(map(_of_no_run, self.path.iterdir())):
                raise UserError(f"{self.path}: the folder is not empty and holds no run; choose another --output")
            make_folder(self.path)
            versions = {name: metadata.version(name) for name in PACKAGES}
            run = {
                "digest": digest(tree),
                "paft": __version__,
                "versions": versions,
                "inputs": _inputs(config),
            } | facts
            write_text(self.config_file, yaml.safe_dump(tree | {"run": run}, sort_keys=False, allow_unicode=True))
            return False
        before = self.read_config()
        recorded = before.pop("run", {}) or {}
        inputs, now_inputs = recorded.get("inputs") or {}, _inputs(config)
        same = {key for key, value in now_inputs.items() if inputs.get(key) == value}  # wherever it lies now
        changed = [
            line for key, line in _differences(before, tree).items() if key.removesuffix(".hub") not in same
        ]
        changed += [f"{key} (its content changed)" for key in now_inputs if key not in same]
        started, now = recorded.get("processes", 1), facts.get("processes", 1)
        if started != now:
            changed.append(f"processes (was {started}, now {now})")
        if changed:
            raise UserError(
                f"{self.path} belongs to a run with another config; choose another --output. "
                f"Different: {'; '.join(changed)}"
            )
        return True

    def read_config(self) -> dict[str, Any]:
        """Return the tree of ``config.yaml``."""
        self.check_links()
        try:
            tree = yaml_tree(read_text(self.config_file, CONFIG), str(self.config_file))
        except UserError:
            raise UserError(f"{self.path}: no run directory (config.yaml is missing or damaged)") from None
        if not isinstance(tree, dict):
            raise UserError(f"{self.config_file}: damaged: not a mapping")
        return tree

    def check_links(self) -> None:
        """Refuse links that lead out of the directory: what is written or read below it stays below it."""
        root = self.path.resolve()
        for folder, folders, files in os.walk(self.path):
            for path in (Path(folder, name) for name in (*folders, *files)):
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise UserError(f"{path}: a link out of the run directory; remove it")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process; the system releases the lock when the process ends, even if killed.

        ``.lock`` holds the process's id. The lock itself is on another file, which some systems then let nobody
        read, and some releases of filelock empty.
        """
        made = not self.path.exists()
        make_folder(self.path)
        self.check_links()
        owner, file = self.path / ".lock", self.path / ".lock.held"
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            process = read_text(owner, CONFIG).strip() if owner.is_file() else "another"
            raise UserError(f"{self.path}: process {process} is working on this run") from None
        try:
            owner.write_text(str(os.getpid()), encoding="utf-8")
            yield
        finally:
            unused = not self.config_file.exists()  # refused before anything was written
            if unused:
                owner.unlink(missing_ok=True)
                with suppress(PermissionError):  # Windows removes no open file
                    file.unlink(missing_ok=True)
            lock.release()
            if unused and made:
                with suppress(OSError):
                    self.path.rmdir()


def digest(tree: dict[str, Any]) -> str:
    """Return the hash of a resolved config."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def _resolved(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_none=True, exclude={"run"})


def _of_no_run(path: Path) -> bool:
    """Return True if a file may be in a folder without a run: a run that was stopped at once leaves it."""
    return (
        path.name in (".lock", ".lock.held", "error.txt") or re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None
    )


def _inputs(config: Config) -> dict[str, str]:
    """Return the hash of what each path of the config holds; a hub id is taken at its word."""
    sources = {
        "task.train": config.task.train,
        "task.test": config.task.test,
        "prompts.train": config.prompts.train,
        "prompts.test": config.prompts.test,
    }
    files: dict[str, list[Path]] = {}
    for key, source in sources.items():
        if isinstance(source, str | HubSource):
            path = Path(source if isinstance(source, str) else source.hub)
            files[key] = sorted(p for p in path.rglob("*") if p.is_file()) or [path]
    if isinstance(config.model, ModelConfig):
        model = Path(locate(config.model.path, revision=config.model.revision))
        inside = sorted(p for p in model.glob("*") if p.suffix in MODEL_FILES)
        files["model.path"] = inside or [model]
        files["model.chat_template"] = [Path(config.model.chat_template)]
        if config.model.adapter:
            names = ("adapter_config.json", "adapter_model.safetensors")
            files["model.adapter"] = [Path(config.model.adapter) / name for name in names]
    return {key: _content(found) for key, found in files.items() if all(p.is_file() for p in found)}


def _content(files: list[Path]) -> str:
    """Return the hash of files' names, sizes and bytes; of a very large file it reads samples."""
    found = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        found.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            if size <= DATA:
                found.update(file.read())
                continue
            for sample in range(SAMPLES):
                file.seek(sample * size // SAMPLES)
                found.update(file.read(65_536))
    return found.hexdigest()[:16]


def _differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    one, other = _flat(before), _flat(now)
    missing = "not set"
    return {
        key: f"{key} (was {one.get(key, missing)}, now {other.get(key, missing)})"
        for key in sorted(one.keys() | other.keys())
        if one.get(key, missing) != other.get(key, missing) and not PACE.fullmatch(key)
    }


def _flat(tree: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            value = dict(enumerate(value))
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
