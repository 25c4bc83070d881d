"""Start a run directory with a config, or resume it, also with another config that changes no finished result."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from paft import __version__
from paft.config.schema import Config, GenerateSource, variant_name
from paft.errors import UserError
from paft.methods.registry import Variant
from paft.runs.directory import AXES_DESIGN, HELD_OUT, RunDirectory
from paft.runs.fingerprint import (
    NEUTRAL,
    Fingerprint,
    differences,
    flatten,
    how_asked,
    read_fingerprint,
    write_fingerprint,
)
from paft.runs.hashes import input_hashes
from paft.utils.io import make_folder, write_text

VERSION = 2
"""Of the files in a run directory."""

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets")

Tree = dict[str, Any]


def start_or_resume(directory: RunDirectory, config: Config) -> bool:
    """Write ``config.yaml`` where there is none; return True where there was one.

    Raises:
        UserError: the folder holds something else, or a run of an earlier version.
    """
    if directory.config_file.is_file():
        _check_version(directory)
        return True
    if directory.path.is_dir() and not all(map(_is_left_over, directory.path.iterdir())):
        raise UserError(f"{directory.path}: the folder is not empty and is not a run; choose another --output")
    make_folder(directory.path)
    _write(directory, _resolved(config), _modules(config))
    return False


def check_prompts_source(directory: RunDirectory, config: Config, variants: Iterable[Variant]) -> None:
    """Refuse to have other prompts written where a method was trained on, or asked with, the earlier ones.

    Raises:
        UserError: naming the keys that differ.
    """
    if not directory.config_file.is_file() or not isinstance(config.prompts.train, GenerateSource):
        return
    before = (directory.read_config().get("prompts") or {}).get("train")
    now = _resolved(config)["prompts"]["train"]
    lines = differences(_generate_keys(before), _generate_keys(now))
    for variant in variants:
        folder = directory.method(variant.name)
        is_trained_on = variant.method.prompts_key == "prompts.train" and _has_trained(folder)
        is_asked_with = config.prompts.test is None and _has_answers(folder)
        if lines and (is_trained_on or is_asked_with):
            raise _refusal(directory, {variant.name: lines})


def record_config(
    directory: RunDirectory,
    config: Config,
    variants: list[Variant],
    fingerprints: Mapping[str, Fingerprint],
    facts: Tree,
    only: str | None = None,
) -> None:
    """Record the config and each method's fingerprint.

    Methods of earlier calls stay part of the run.

    Args:
        facts: what the report needs and the config leaves open, such as the chance level.
        only: the one method that is about to be worked on; what another call does is not looked at.

    Raises:
        UserError: a result that is there, or partly there, would become another; nothing is written then.
    """
    if (directory.path / AXES_DESIGN).is_file():
        raise UserError(f"{directory.path}: a run with --axes; choose another --output")
    earlier = [name for name in directory.methods() if name not in fingerprints and _has_results(directory, name)]
    evaluation = next(iter(fingerprints.values()))["evaluation"]
    conflicts = {
        name: _conflict(directory.method(name), now) for name, now in fingerprints.items() if only in (None, name)
    }
    conflicts |= {name: _conflict(directory.method(name), {"evaluation": evaluation}) for name in earlier}
    if conflicts := {name: lines for name, lines in conflicts.items() if lines}:
        raise _refusal(directory, conflicts)
    before = directory.read_config() if directory.config_file.is_file() else {}
    tree = _resolved(config)
    kept = _kept_entries(before.get("methods") or [], earlier)
    tree["methods"] = [*kept, *tree["methods"]]
    methods = _method_facts(before.get("run") or {}, kept, variants)
    _write(directory, tree, facts | methods | _modules(config))
    for name, fingerprint in fingerprints.items():
        if only in (None, name):
            write_fingerprint(directory.method(name), fingerprint)


def _conflict(folder: Path, now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the keys that differ in a stage of a method whose results, whole or partial, are there."""
    is_answered = _has_answers(folder)  # by the adapter, even if that has been removed since
    has_results = {"training": _has_trained(folder) or is_answered, "evaluation": is_answered}
    if not any(has_results[stage] for stage in now):
        return []
    before = read_fingerprint(folder)
    if before is None:
        return ["its fingerprint (the file is missing)"]
    lines: dict[str, None] = {}
    for stage, keys in now.items():
        if has_results[stage]:
            lines |= dict.fromkeys(differences(before[stage], keys))
        elif stage == "evaluation" and (folder / "evaluations.jsonl").exists():
            lines |= dict.fromkeys(differences(*map(how_asked, (before[stage], keys))))
    return list(lines)


def _has_results(directory: RunDirectory, name: str) -> bool:
    return _has_trained(directory.method(name)) or _has_answers(directory.method(name))


def _has_trained(folder: Path) -> bool:
    names = ("adapter", "choice.json", "evaluations.jsonl", "answers.jsonl")
    return any((folder / name).exists() for name in names) or any((folder / "checkpoints").glob("checkpoint-*"))


def _has_answers(folder: Path) -> bool:
    names = ("predictions.parquet", "cells.jsonl")  # the second one is of `paft gate`
    return any((folder / name).exists() for name in names) or any((folder / "predictions").glob("*.parquet"))


def _refusal(directory: RunDirectory, conflicts: Mapping[str, list[str]]) -> UserError:
    lines = dict.fromkeys(line for changed in conflicts.values() for line in changed)
    folders = " and ".join(str(directory.method(name)) for name in conflicts)
    return UserError(
        f"{directory.path} has results of {', '.join(conflicts)} with another config; choose another --output, or "
        f"remove {folders} to redo them. Different: {'; '.join(lines)}"
    )


def _check_version(directory: RunDirectory) -> None:
    run = directory.read_config().get("run")
    version = run.get("version", 1) if isinstance(run, dict) else 1
    if version != VERSION:
        raise UserError(
            f"{directory.path}: a run directory of version {version}, this paft continues version {VERSION}; "
            "choose another --output (`paft report` still reads the old one)"
        )


def _kept_entries(entries: list[Any], earlier: list[str]) -> list[Any]:
    """Return the entries of ``methods`` in ``config.yaml`` that have a folder and are not listed now."""
    names = [entry.get("name") if isinstance(entry, dict) else variant_name(str(entry)) for entry in entries]
    return [entry for entry, name in zip(entries, names, strict=True) if name in earlier]


def _method_facts(run: Tree, kept: list[Any], variants: list[Variant]) -> Tree:
    """Return what the report needs to know of each method, of those kept from earlier calls too."""
    names = [entry["name"] if isinstance(entry, dict) else variant_name(entry) for entry in kept]
    titles = {name: (run.get("method_titles") or {}).get(name, name) for name in names}
    trained = [name for name in names if name in (run.get("trained") or [])]
    fixed = {name: keys for name, keys in (run.get("fixed_training") or {}).items() if name in names}
    return {
        "trained": trained + [v.name for v in variants if v.method.trains],
        "method_titles": titles | {v.name: v.title for v in variants},
        "fixed_training": fixed
        | {v.name: dict(v.method.fixed_training) for v in variants if v.method.fixed_training},
    }


def _modules(config: Config) -> Tree:
    """Return in which folders a user's modules are looked for when the run is opened again."""
    return {"modules": (config.run or {}).get("modules", [])}


def _write(directory: RunDirectory, tree: Tree, facts: Tree) -> None:
    inputs = tree.pop("inputs")
    run = {
        "version": VERSION,
        "digest": hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16],
        "paft": __version__,
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "inputs": inputs,
    } | facts
    write_text(directory.config_file, yaml.safe_dump(tree | {"run": run}, sort_keys=False, allow_unicode=True))


def _resolved(config: Config) -> Tree:
    """Return the whole config as a tree, with the hashes of its inputs."""
    tree = config.model_dump(mode="json", exclude_none=True, exclude={"run"})
    return tree | {"inputs": input_hashes(config)}


def _generate_keys(source: Any) -> Tree:
    """Return what of a source of generated prompts decides which prompts are written."""
    tree = source if isinstance(source, dict) else {"source": source}
    models = (tree.get("generate") or {}).get("models") or []
    keys = {key: value for key, value in flatten(tree).items() if key != "generate.models"}
    for number, model in enumerate(models):
        keys |= flatten(model, f"generate.models.{number}")
    return {f"prompts.train.{key}": value for key, value in keys.items() if not NEUTRAL.fullmatch(key)}


def _is_left_over(path: Path) -> bool:
    """Return True for a file that a run leaves behind which was stopped before it wrote its config."""
    return re.fullmatch(rf"\.lock(\.held)?|{HELD_OUT}|error.*\.txt|\..+\.\d+\.tmp", path.name) is not None
