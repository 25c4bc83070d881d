"""The run directory: which config it belongs to, who works on it, where its files are."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from paft.errors import UserError
from paft.utils.io import make_folder
from paft.utils.safe_io import CONFIG, read_text, yaml_tree

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""The name of a method; it is never a path."""

HELD_OUT = "held-out"
"""The folder of the prompts and examples of ``paft run --validate``."""

AXES_DESIGN = "axes.json"
"""Of ``paft evaluate --axes``: the axes with their levels, and all that the answers depend on."""

AXES_CELLS = "cells.jsonl"
"""Of ``paft evaluate --axes``: a row for each combination of levels, with its examples and their scores."""


class RunDirectory:
    """The paths of ``RUN/`` (``docs/design.md`` lists them), its config, and its locks."""

    def __init__(self, path: Path):
        self.path = path
        self.config_file = path / "config.yaml"
        self.examples = path / "examples.jsonl"

    def method(self, name: str) -> Path:
        """Return the folder of a method.

        Raises:
            UserError: the name could be a path.
        """
        if not NAME.fullmatch(name):
            raise UserError(f"{self.config_file}: {name!r} is not the name of a method")
        return self.path / "methods" / name

    def prompts(self, name: str) -> Path:
        """Return the prompt file of that name."""
        return self.path / "prompts" / f"{name}.jsonl"

    def read_config(self) -> dict[str, Any]:
        """Return the tree of ``config.yaml``."""
        if not self.config_file.is_file():
            raise UserError(f"{self.path}: no run directory (config.yaml is missing or damaged)")
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

    def methods(self) -> list[str]:
        """Return the names of the methods that have a folder."""
        folder = self.path / "methods"
        if not folder.is_dir():
            return []
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and NAME.fullmatch(p.name))

    @contextmanager
    def locked_method(self, name: str) -> Iterator[None]:
        """Hold one method's folder for this process, so that several processes can share a run."""
        folder = self.method(name)
        make_folder(folder)
        with _held(folder / ".lock", f"{folder}: process {{}} is working on this method"):
            yield

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the directory for this process; the lock is released with the process, however it ends.

        Args:
            wait: for a process that holds it, rather than refusing.
        """
        made = not self.path.exists()
        make_folder(self.path)
        self.check_links()
        with _held(self.path / ".lock", f"{self.path}: process {{}} is working on this run", wait=wait):
            try:
                yield
            finally:
                if not self.config_file.exists():  # refused before anything was written
                    self._remove_locks(folder=made)

    def _remove_locks(self, *, folder: bool) -> None:
        """Remove what holding the directory has left, and the folder too where holding it has made it."""
        with suppress(OSError):  # Windows removes no open file
            for name in (".lock", ".lock.held"):
                (self.path / name).unlink(missing_ok=True)
            if folder:
                self.path.rmdir()


@contextmanager
def _held(owner: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock; the system releases it when the process ends, even if killed.

    Args:
        owner: the file that gets the process's id. The lock itself is on another file, which some systems let
            nobody read while it is held, and which some releases of filelock empty.
        busy: the error's text, with a place for the id of the process that holds the lock.
        wait: for a process that holds it, rather than refusing.
    """
    lock = FileLock(owner.with_name(f"{owner.name}.held"))
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        process = read_text(owner, CONFIG).strip() if owner.is_file() else "another"
        raise UserError(busy.format(process)) from None
    try:
        owner.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()
