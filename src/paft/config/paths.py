"""Paths in a config: relative to the config file, or, on the command line, to the working directory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paft.errors import UserError

Place = tuple[dict[str, Any], str]
"""A mapping of the config and one of its keys."""

FILES = ("task.train", "task.test", "prompts.train", "prompts.test", "model.adapter", "model.chat_template")
"""Keys that name a file or a folder wherever they hold text."""

MODELS = (
    "model.path",
    "model.tokenizer",
    "task.train.hub",
    "task.test.hub",
    "prompts.train.generate.models",
    "baselines",
    "methods",
)
"""Keys at or below which text may name a folder, but also a hub id, an embedded model, or something else."""

NO_PATHS = ("key", "api_key_env", "base_url", "request", "name", "method", "training")
"""Keys of the sections above whose text is never a path."""

WORDS = {"model.chat_template": ("auto", "none")}
"""Values of a key that are no paths."""


def resolve_paths(tree: dict[str, Any], folder: Path, under: Sequence[str] | None = None) -> None:
    """Make the relative paths of a config tree absolute, in place.

    Args:
        folder: what they are relative to.
        under: keys; only paths at or below them, or all when left out.

    Raises:
        UserError: a value is not a path.
    """
    for key in FILES:
        for section, name in _places(tree, key.split(".")):
            value = section[name]
            if isinstance(value, str) and value not in WORDS.get(key, ()) and _is_under(key, under):
                section[name] = absolute(value, folder)
    for key in MODELS:
        if _is_under(key, under):
            for section, name in _places(tree, key.split(".")):
                section[name] = _resolve_below(section, name, folder)


def absolute(value: str, folder: Path) -> str:
    """Return a path as an absolute one.

    Raises:
        UserError: it is not a path.
    """
    try:
        return str((folder / Path(value).expanduser()).resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{value!r} is not a path: {error}") from None


def _is_under(key: str, under: Sequence[str] | None) -> bool:
    return under is None or any(
        key == prefix or key.startswith(f"{prefix}.") or prefix.startswith(f"{key}.") for prefix in under
    )


def _places(tree: Any, key: Sequence[str]) -> Iterator[Place]:
    """Yield the mapping that holds a key, with the key's last part."""
    first, *rest = key
    if isinstance(tree, dict) and first in tree:
        if rest:
            yield from _places(tree[first], rest)
        else:
            yield tree, first


def _resolve_below(section: dict[str, Any], name: str, folder: Path) -> Any:
    """Return a value with the texts in it that are paths made absolute."""
    value = section[name]
    if isinstance(value, dict):
        return {key: v if key in NO_PATHS else _resolve_below(value, key, folder) for key, v in value.items()}
    if isinstance(value, list):  # names of methods are no paths
        return [_resolve_below({"": v}, "", folder) if isinstance(v, dict) else v for v in value]
    behind_endpoint = "base_url" in section and name in ("path", "model")
    return _if_path(value, folder) if isinstance(value, str) and not behind_endpoint else value


def _if_path(value: str, folder: Path) -> str:
    """Return what exists, or is written as a path, as an absolute path; anything else as it is."""
    try:
        is_path = value.startswith(("./", "../", "~", "/")) or value in (".", "..")
        is_path = is_path or ("\n" not in value and value != "" and (folder / value).exists())
    except (OSError, ValueError):
        return value
    return absolute(value, folder) if is_path else value
