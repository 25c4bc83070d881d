"""What paft takes of a file that may come from anybody: how much, and YAML that cannot hurt."""

from pathlib import Path
from typing import Any

import yaml

from paft.errors import UserError

CONFIG = 1_000_000
"""Bytes of a config, of an adapter's config, of a chat template."""

VALUES = 100_000
"""Values in a YAML file, those behind an alias counted wherever it stands."""

PROMPTS = 50_000_000
"""Bytes of a prompt file."""

DATA = 500_000_000
"""Bytes of a data file, and of what a compressed one unpacks to."""


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's content.

    Raises:
        UserError: it cannot be read, or is larger than ``most`` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > most:
        raise too_large(path, most)
    return content


def read_text(path: Path, most: int) -> str:
    """Return a text file's content; a mark of byte order at its beginning is left out."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; convert it") from None


def too_large(path: Path, most: int) -> UserError:
    """Return the error for a file that holds more than ``most`` bytes."""
    return UserError(f"{path}: more than {most:,} bytes, the most that is taken; split it or take a part")


def yaml_tree(text: str, place: str, loader: Any = yaml.SafeLoader) -> Any:
    """Return what a YAML text holds; tags that would make objects are refused by the loader.

    Raises:
        UserError: it is no YAML, holds itself, or unfolds to more than :data:`VALUES` values.
    """
    try:
        tree = yaml.load(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise UserError(f"{place}{line}: not YAML: {' '.join(str(problem).split())}") from None
    except RecursionError:
        raise UserError(f"{place}: nested too deeply") from None
    except Exception as error:  # a date or number that YAML recognises and Python does not; PyYAML raises anything
        found = " ".join(str(error).split())
        raise UserError(f"{place}: a value is no {found or type(error).__name__}; put it in quotes") from None
    try:
        size = _unfolded(tree, {}, set())
    except RecursionError:
        raise UserError(f"{place}: a value holds itself, or is nested too deeply") from None
    if size > VALUES:
        raise UserError(f"{place}: its aliases unfold to more than {VALUES:,} values; write it without them")
    return tree


def _unfolded(node: Any, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a tree holds with each alias written out; RecursionError where it has no end."""
    if not isinstance(node, dict | list | tuple | set):
        return 1
    if id(node) in above or len(above) > 200:
        raise RecursionError
    if id(node) not in known:
        below = [*node.keys(), *node.values()] if isinstance(node, dict) else list(node)
        above.add(id(node))
        known[id(node)] = 1 + sum(_unfolded(value, known, above) for value in below)
        above.discard(id(node))
    return known[id(node)]
