"""Hashes of what a run reads: data, prompts, model, and a user's own code."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paft.config.model import ModelConfig
from paft.config.schema import Config
from paft.config.task import HubSource
from paft.models.locate import adapter_files, locate
from paft.types import Example, Prompt
from paft.utils.safe_io import DATA

SAMPLES = 1_024
"""Of a file larger than any data file, this many pieces of 64 KiB are compared."""

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""The files in a model's folder that it is loaded from."""

TOKENIZER_FILES = MODEL_FILES - {".safetensors"}
"""Those that its tokenizer may be loaded from."""


def input_hashes(config: Config) -> dict[str, str]:
    """Return the hash of what each path of the config holds, by key; a hub id has none."""
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
            files["model.adapter"] = adapter_files(config.model.adapter)
    else:
        if config.model.chat_template:
            files["model.chat_template"] = [Path(config.model.chat_template)]
        if config.model.tokenizer and (folder := Path(config.model.tokenizer)).is_dir():
            files["model.tokenizer"] = sorted(p for p in folder.glob("*") if p.suffix in TOKENIZER_FILES)
    return {key: hash_files(paths) for key, paths in files.items() if all(p.is_file() for p in paths)}


def hash_files(files: Iterable[Path]) -> str:
    """Return the hash of files' names, sizes and bytes; of a very large file, samples are read."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            if size <= DATA:
                digest.update(file.read())
                continue
            for sample in range(SAMPLES):
                file.seek(sample * size // SAMPLES)
                digest.update(file.read(65_536))
    return digest.hexdigest()[:16]


def hash_examples(examples: Iterable[Example]) -> str:
    """Return the hash of what examples ask and of their targets, in their order."""
    return hash_value(
        [[dict(e.fields), list(e.options), e.target if e.options else list(e.targets)] for e in examples]
    )


def hash_prompts(prompts: Iterable[Prompt]) -> str:
    """Return the hash of prompts' ids and texts, in their order."""
    return hash_value([[p.id, p.text, p.system] for p in prompts])


def hash_value(value: Any) -> str:
    """Return the hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
