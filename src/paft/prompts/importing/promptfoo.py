"""Prompts of promptfoo: its config, and the files that the config refers to.

Format: promptfoo's documentation, Configuration > Prompts, and its ``src/prompts``.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.prompts.importing.braces import jinja_entry
from paft.prompts.importing.chat import json_tree, system_and_user
from paft.prompts.importing.entry import Entry, UnreadableError
from paft.prompts.importing.tables import csv_rows, text_parts
from paft.utils.safe_io import PROMPTS, read_text, yaml_tree

_SCHEME = re.compile(r"(exec:).*|([a-z][a-z0-9+.-]*://)\S*", re.IGNORECASE | re.DOTALL)
_PATH = re.compile(
    r"[^\n{]+\.(?:txt|md|j2|json|jsonl|csv|ya?ml|py|[cm]?[jt]s|sh|bash|exe|bat|cmd|ps1|rb|pl)(?::\w+)?",
    re.IGNORECASE,
)
_FILES = 1_000
"""Files that a config may refer to."""

_READABLE = ".txt, .md, .j2, .json, .jsonl, .csv, .yaml and .yml"


def entries(path: Path, tree: dict[Any, Any]) -> Iterator[Entry]:
    """Yield the prompts of a config.

    Raises:
        UserError: its ``prompts`` are no list.
    """
    prompts = tree["prompts"]
    prompts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(prompts, list) or not prompts:
        raise UserError(f"{path}: not a config of promptfoo: key prompts must be a list, found {_kind(prompts)}")
    files, note = _Files(path), _note(tree)
    for number, prompt in enumerate(prompts, 1):
        for entry in _entries(f"{path}: prompt {number}", prompt, files):
            yield replace(entry, note=note)


def chat_entry(place: str, messages: Any) -> Entry:
    """Return the entry of a list of messages, whose texts are Nunjucks templates."""
    try:
        system, user = system_and_user(messages)
    except UnreadableError as reason:
        return Entry(place, problem=str(reason))
    return jinja_entry(place, user, system)


def _note(tree: dict[Any, Any]) -> str:
    """Return what promptfoo adds to each prompt and the import does not."""
    defaults = tree.get("defaultTest")
    options = defaults.get("options") if isinstance(defaults, dict) else None
    added = [key for key in ("prefix", "suffix") if isinstance(options, dict) and options.get(key)]
    return f"imported without promptfoo's defaultTest.options.{added[0]}" if added else ""


def _entries(place: str, prompt: Any, files: "_Files") -> Iterator[Entry]:
    if isinstance(prompt, dict) and "messages" not in prompt:
        prompt = prompt.get("raw") or prompt.get("id")
    if isinstance(prompt, dict | list):
        yield chat_entry(place, prompt.get("messages") if isinstance(prompt, dict) else prompt)
    elif not isinstance(prompt, str):
        yield Entry(place, problem=f"expected a text, or raw, id or messages; found {_kind(prompt)}")
    elif prompt.startswith("file://") or _PATH.fullmatch(prompt):
        yield from _referenced(place, prompt, files)
    elif scheme := _SCHEME.fullmatch(prompt):
        yield Entry(
            place,
            problem=f"only file:// can be read, found {scheme[1] or scheme[2]}; write the prompt's text instead",
        )
    else:
        yield _text_entry(place, prompt)


def _text_entry(place: str, text: str) -> Entry:
    """Return the entry of a prompt's text, which may be a chat in JSON or, from ``- role:`` on, in YAML."""
    stripped = text.strip()
    try:
        if stripped.startswith("- role:"):
            return chat_entry(place, yaml_tree(text, place))
        if re.match(r"\[\s*\{|\{\s*\"", stripped) and stripped[-1] in "]}":
            return chat_entry(place, json_tree(text, place))
    except UserError:
        return Entry(place, problem="it looks like JSON or YAML and is neither before its slots are filled")
    return jinja_entry(place, text)


def _referenced(place: str, reference: str, files: "_Files") -> Iterator[Entry]:
    """Yield the prompts of the files that a reference names."""
    try:
        paths = files.find(reference)
    except UnreadableError as reason:
        yield Entry(place, problem=str(reason))
        return
    for path in paths:
        is_empty = True
        try:
            for entry in _file_entries(path, files):
                yield entry
                is_empty = False
        except (UnreadableError, UserError) as reason:
            yield Entry(place, problem=f"the file that it refers to: {reason}")
        else:
            if is_empty:
                yield Entry(place, problem=f"{path}: the file has no prompts")


def _file_entries(path: Path, files: "_Files") -> Iterator[Entry]:
    match path.suffix.lower():
        case ".txt":
            for line, part in text_parts(files.read(path), r"^[ \t]*---[ \t]*\r?$"):
                yield _text_entry(f"{path}:{line}", part)
        case ".md" | ".j2":
            yield jinja_entry(str(path), files.read(path))
        case ".json":
            yield chat_entry(str(path), _json_chat(files.read(path), path))
        case ".yaml" | ".yml":
            yield chat_entry(str(path), yaml_tree(files.read(path), str(path)))
        case ".jsonl":
            for line, part in text_parts(files.read(path), r"$"):
                yield _text_entry(f"{path}:{line}", part)
        case ".csv":
            yield from _csv_entries(path, files.read(path))
        case _:
            raise UnreadableError(
                f"{path.name}: can read {_READABLE}, and runs no program; write its prompts there"
            )


def _json_chat(text: str, path: Path) -> Any:
    try:
        return json_tree(text, str(path))
    except UserError:
        if "{{" in text or "{%" in text:
            raise UnreadableError(
                f"{path}: it is no JSON before its slots are filled; put them in quotes"
            ) from None
        raise


def _csv_entries(path: Path, text: str) -> Iterator[Entry]:
    """Read the column ``prompt``; without it and with one column, each line is a prompt."""
    header = text.partition("\n")[0].strip().strip('"').lower()
    if "," not in text and header != "prompt":
        text = f"prompt\n{text}"
    for place, row in csv_rows(path, text):
        prompt = row.get("prompt")
        yield _text_entry(place, prompt) if prompt else Entry(place, problem="it has no text in a column prompt")


class _Files:
    """The files that a config refers to: those in its folder, together at most :data:`PROMPTS` bytes."""

    def __init__(self, config: Path):
        self.config = config
        self.count = self.size = 0

    def find(self, reference: str) -> list[Path]:
        """Return the files that a reference names; ``*`` stands for any name.

        Raises:
            UnreadableError: there is none, one lies outside the config's folder, or there are too many.
        """
        name = reference.removeprefix("file://").partition(":")[0]
        folder = self.config.parent
        if self.count > _FILES:
            raise UnreadableError(f"the config refers to more than {_FILES:,} files")
        try:
            is_pattern = "*" in name and ".." not in Path(name).parts and not Path(name).is_absolute()
            paths = sorted(folder.glob(name)) if is_pattern else [folder / name]
            if any(not path.resolve().is_relative_to(folder.resolve()) for path in paths):
                raise UnreadableError(
                    f"{reference}: lies outside the folder of {self.config.name}; copy it into it"
                )
            paths = [path for path in paths if path.is_file()]
        except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a loop of links
            paths = []
        if not paths:
            raise UnreadableError(f"{reference}: no such file; paths are relative to {self.config.name}")
        self.count += len(paths)
        return paths

    def read(self, path: Path) -> str:
        """Return a file's text.

        Raises:
            UserError: it cannot be read, or is too large together with those read before.
        """
        self.size += path.stat().st_size
        if self.size > PROMPTS:
            raise UserError(f"{path}: the config's files have more than {PROMPTS:,} bytes together, the limit")
        return read_text(path, PROMPTS)


def _kind(value: Any) -> str:
    return "nothing" if value is None else "an empty list" if value == [] else type(value).__name__
