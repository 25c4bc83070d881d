"""What changes a method's result, key by key.

A run directory may be continued with another config as long as no fingerprint of a method with results changes.
Each method has one for its training and one for its evaluation, so that a finished adapter survives a change of
the evaluation that has not begun yet.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paft.config.schema import Config
from paft.errors import UserError
from paft.methods.registry import Variant
from paft.models.locate import adapter_files
from paft.runs.data import RunData
from paft.runs.hashes import hash_examples, hash_files, hash_prompts, hash_value, input_hashes
from paft.scoring.registry import as_reference
from paft.utils.io import write_text
from paft.utils.plugins import load_object, source_file

FILE = "fingerprint"
"""In the folder of a method, as JSON."""

CONTENT = "sha256:"
"""What the value of a key that stands for some content begins with."""

NEUTRAL = re.compile(
    r"(.+\.)?(model|llm|models\.\d+)\.(key|base_url|parallel|retries|timeout|on_unanswered|device)"
    r"|(training|methods\.[^.]+|baselines\.[^.]+)\."
    r"((logging|save|hub)_\w+|log_(level|level_replica|on_each_node|completions|unique_prompts)"
    r"|report_to|run_name|project|push_to_hub)"
    r"|generate\.max_request_factor"
)
"""Keys that change no result: where and how fast a model is reached, what the Trainer logs and saves.

Not the keys of a user's own sampler, objective or method, whatever they are called.
"""

PLAN_SEED = "seed (of evaluation.cells)"
"""How many cells are answered is no key: a plan contains the smaller ones of its seed."""

DRAWN_BY = {
    "task.test": ", or which of it evaluation.examples and the seed draw",
    "task.train": ", or which of it training.examples and the seed draw",
    "prompts.test": ", or which of it the seed draws",
    "prompts.train": ", or which of it the seed draws",
}
"""What else changes the content that a key stands for."""

HOW_ASKED = re.compile(r"evaluation\..*|task\.scorer\b.*")
"""Keys of the stage ``evaluation`` that a search for a prompt depends on too."""

Fingerprint = dict[str, dict[str, Any]]
"""By stage, ``training`` and ``evaluation``, the value of each key that changes the stage's result."""


def fingerprints(config: Config, variants: list[Variant], data: RunData, processes: int) -> dict[str, Fingerprint]:
    """Return the fingerprint of each variant by its name."""
    inputs = {key: f"{CONTENT}{value}" for key, value in input_hashes(config).items()}
    model = flatten(config.model.model_dump(mode="json", exclude_none=True), "model")
    model |= {key: value for key, value in inputs.items() if key.startswith("model.") and key in model}
    if model.get("model.quantization") == "none":  # as in runs from before the key
        del model["model.quantization"]
    shared = _kept(model | _task(data))
    evaluation = shared | _evaluation(config, data)
    training: dict[str, dict[str, Any]] = {}
    for variant in variants:
        keys = shared | _training(config, variant, data, processes) if variant.method.trains else {}
        if variant.method.depends_on_evaluation:
            keys |= _generated(config, data)
        training[variant.name] = keys | _start(variant, training)
    return {variant.name: {"training": training[variant.name], "evaluation": evaluation} for variant in variants}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one line for each key whose value differs."""
    missing = "not set"
    keys = before.keys() | now.keys()
    if not (PLAN_SEED in before and PLAN_SEED in now):
        keys -= {PLAN_SEED}  # the whole grid holds the cells of every plan
    return [
        f"{key} {_change(key, before.get(key, missing), now.get(key, missing))}"
        for key in sorted(keys)
        if before.get(key, missing) != now.get(key, missing)
    ]


def how_asked(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return those keys of the stage ``evaluation`` that say how answers are obtained and scored."""
    return {key: value for key, value in keys.items() if HOW_ASKED.fullmatch(key)}


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """Return the fingerprint of a method's folder; None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {stage: dict(stored[stage]) for stage in ("training", "evaluation")}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{file}: damaged; remove {folder} to redo this method, or choose another --output"
        ) from None


def write_fingerprint(folder: Path, fingerprint: Fingerprint) -> None:
    """Write the fingerprint of a method into its folder."""
    write_text(folder / FILE, json.dumps(fingerprint, indent=1, ensure_ascii=False) + "\n")


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by their dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        flat |= flatten(value, key) if isinstance(value, Mapping) else {key: value}
    return flat


def _task(data: RunData) -> dict[str, Any]:
    """Return what the rendering of an example and the reading of an answer depend on."""
    task = data.task
    keys: dict[str, Any] = {
        "task.fields": list(task.fields),
        "task.answer": task.answer_format.name,
        "task.choices": None if task.labels is None else list(task.labels),
        "prompts.shots": task.shots or None,
        "prompts.shots (its examples)": f"{CONTENT}{hash_examples(task.demonstrations)}" if task.shots else None,
    }
    return {key: value for key, value in keys.items() if value is not None}


def _evaluation(config: Config, data: RunData) -> dict[str, Any]:
    evaluation = config.evaluation
    keys: dict[str, Any] = {
        "task.test": f"{CONTENT}{hash_examples(data.test_examples)}",
        "prompts.test": f"{CONTENT}{hash_prompts(data.prompts.test)}",
        "evaluation.mode": evaluation.mode,
    }
    if evaluation.cells != 1 or evaluation.until is not None:
        keys[PLAN_SEED] = config.seed
    return keys | (_generated(config, data) if evaluation.mode == "generate" else {})


def _generated(config: Config, data: RunData) -> dict[str, Any]:
    """Return what the score of a generated answer depends on."""
    keys: dict[str, Any] = {"evaluation.max_new_tokens": config.evaluation.max_new_tokens}
    if config.evaluation.stop:
        keys["evaluation.stop"] = config.evaluation.stop
    keys |= _scorers(data.task.scorer)
    if data.task.has_options:
        keys["task.target"] = list(data.task.answer_names)  # "the NAME is B" is read as an answer
    return keys


def _scorers(setting: Any) -> dict[str, Any]:
    named = {"task.scorer": setting}
    if isinstance(setting, list):
        named = {f"task.scorer.{i}": each for i, each in enumerate(setting)}
    keys = {k: v for name, each in named.items() for k, v in _part(name, as_reference(each)).items()}
    return _kept(keys)


def _training(config: Config, variant: Variant, data: RunData, processes: int) -> dict[str, Any]:
    method, training = variant.method, variant.training
    keys: dict[str, Any] = {
        "method": variant.reference,
        "task.train": f"{CONTENT}{hash_examples(data.training_examples(variant))}",
        "seed": config.seed,
        "processes": processes,
    }
    if method.prompts_key is not None:
        keys[method.prompts_key] = f"{CONTENT}{hash_prompts(data.prompts.of_key(method.prompts_key))}"
    if training.on_overlength == "drop":  # examples are left out by the longest prompt
        keys["training.on_overlength (prompts)"] = f"{CONTENT}{hash_prompts(data.prompts.named)}"
    keys |= flatten(training.model_dump(mode="json", exclude_none=True), "training")
    keys |= flatten(method.model_dump(mode="json", exclude_none=True), variant.key)
    for name in ("sampler", "objective"):
        keys |= _part(f"training.{name}", getattr(training, name))
    for name, reference in method.own_code.items():
        keys |= _part(f"{variant.key}.{name}", reference)
    if file := source_file(method):
        keys["method (its code)"] = f"{CONTENT}{hash_files([file])}"
    return _kept(keys)


def _start(variant: Variant, earlier: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the adapter that a variant starts from depends on.

    Args:
        earlier: the keys of the variants that are trained before, by name.
    """
    if variant.method.initial_adapter is None:
        return {}
    setting, name = variant.method.initial_adapter
    files = adapter_files(name)
    content = hash_files(files) if all(file.is_file() for file in files) else hash_value(earlier[name])
    return {f"{variant.key}.{setting} (what it starts from)": f"{CONTENT}{content}"}


def _part(key: str, setting: Any) -> dict[str, Any]:
    """Return a part's setting and, for a user's own, the hash of its file."""
    if setting is None:
        return {}
    name = setting.get("name", "") if isinstance(setting, dict) else str(setting)
    keys = flatten({key: setting})
    if ":" in name and (file := source_file(load_object(name, key))):
        keys[f"{key} (its code)"] = f"{CONTENT}{hash_files([file])}"
    return keys


def _kept(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if not NEUTRAL.fullmatch(key)}


def _change(key: str, before: Any, now: Any) -> str:
    if any(isinstance(value, str) and value.startswith(CONTENT) for value in (before, now)):
        return f"(its content changed{DRAWN_BY.get(key, '')})"
    return f"(was {before}, now {now})"
