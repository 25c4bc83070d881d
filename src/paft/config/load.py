"""Reading a config file: YAML, overrides, paths, and one line for whatever is wrong with it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from paft.config.paths import resolve_paths
from paft.config.schema import Config
from paft.errors import UserError, nearest
from paft.utils.plugins import search_modules_in
from paft.utils.safe_io import CONFIG, read_text, yaml_tree


def load_config(
    path: Path, overrides: list[str] | None = None, *, over: Mapping[str, Any] | None = None
) -> Config:
    """Read a YAML config, apply ``key.sub=value`` overrides and make its paths absolute.

    Args:
        over: values that replace the file's, before the overrides replace both.

    Raises:
        UserError: the file is not there or not YAML, a key is unknown, a value does not fit.
    """
    tree = _merged(_read_yaml(path), over or {})
    try:
        resolve_paths(tree, path.resolve().parent)
        for override in overrides or []:
            resolve_paths(tree, Path.cwd(), under=[_apply_override(tree, override)])
        _check_old_names(tree)
        config = Config.model_validate({key: value for key, value in tree.items() if value is not None})
    except ValidationError as error:
        raise UserError(f"{path}: {describe_problem(error, Config)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    run = config.run or {}
    modules = list(dict.fromkeys([str(path.resolve().parent), *run.get("modules", [])]))
    search_modules_in(modules)
    return config.model_copy(update={"run": run | {"modules": modules}})


OLD_NAMES = {
    "evaluation.answers": "evaluation.mode",
    "task.targets": "task.target_format",
    "task.top": "task.top_threshold",
    "training.too_long": "training.on_overlength",
    "training.lora.targets": "training.lora.target_modules",
    "prompts.train.generate.attempts": "prompts.train.generate.max_request_factor",
    "prompts.train.generate.shots": "prompts.train.generate.few_shot_prompts",
    "prompts.train.generate.held_out": "prompts.train.generate.held_out_sources",
}
"""Keys of earlier versions, and their names of today."""


def _check_old_names(tree: Mapping[str, Any]) -> None:
    """Refuse a key of an earlier version by naming the one that replaced it."""
    for old, new in OLD_NAMES.items():
        *parents, last = old.split(".")
        section: Any = tree
        for name in parents:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and last in section:
            raise UserError(f"config key {old} is called {new} now; rename it")
    task = tree.get("task")
    if isinstance(task, dict) and task.get("answer") == "text" and task.get("choices") is not None:
        raise UserError(
            "config key task.answer: 'text' is called 'label' for a task with choices; write answer: label"
        )


def _read_yaml(path: Path) -> dict[str, Any]:
    tree = yaml_tree(read_text(path, CONFIG), str(path))
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a config is a mapping of keys such as 'task' and 'prompts'")
    return tree


def _merged(tree: Any, over: Mapping[str, Any]) -> dict[str, Any]:
    tree = dict(tree) if isinstance(tree, dict) else {}
    for key, value in over.items():
        tree[key] = _merged(tree.get(key), value) if isinstance(value, Mapping) else value
    return tree


def _apply_override(tree: dict[str, Any], override: str) -> str:
    """Set the value of a key; return the key."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"override {override!r}: write it as key.sub=value")
    *parents, last = key.split(".")
    node: Any = tree
    for name in parents:
        if node.get(name) is None:  # a section that is named and left empty
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            kind = "a list; give the whole of it" if isinstance(node, list) else "a single value"
            raise UserError(f"override {override!r}: {name!r} is {kind}, it has no keys below it")
    node[last] = _override_value(value)
    return key


def _override_value(text: str) -> Any:
    """Return a YAML value; running text is itself where YAML sees a comment, a mapping or nothing in it."""
    try:
        value = yaml_tree(text, "override")
    except UserError:
        return text
    plain = text.strip()
    cut = (isinstance(value, str) and value != plain and plain[:1] not in "'\"") or (value is None and "#" in text)
    mapping = isinstance(value, dict) and (not plain.startswith("{") or re.fullmatch(r"\{\w+\}", plain))
    return text if cut or mapping else value


ACCEPTED = {
    "task.train": "a path, or {hub: ID, config: C, split: S}",
    "task.test": "a path, or {hub: ID, config: C, split: S}",
    "task.fields": "a list of columns, or a mapping {SLOT: COLUMN, ...}",
    "task.choices": "a list of labels (quote yes, no and numbers), a column name, or {columns: [ONE, TWO]}",
    "task.target_format": "auto, text, letter, zero-based, one-based, or a mapping {0: negative, 1: positive}",
    "task.scorer": "a name, {name: NAME, ...its settings}, module:name of your own, or a list of them",
    "prompts.train": "a path, {bank: NAME, size: N} or {generate: {models: [...]}}",
    "prompts.test": "a path, or {bank: NAME, size: N}",
    "prompts.user": "a text, or {text: T, system: S}",
    "training.report_to": "a name or a list of names",
    "methods": "a list of names, or of {name: NAME, method: METHOD, training: {...}}",
}
"""What keys that take several forms take, for error messages."""

_FORMS = {
    "str",
    "list[str]",
    "dict[str,any]",
    "dict[str,str]",
    "HubSource",
    "BankSource",
    "GenerateSource",
    "OptionColumns",
    "UserPrompt",
}
_FORMS |= {"local", "served", "NamedVariant"}
"""How pydantic marks in a location which of several forms it tried."""


def describe_problem(error: ValidationError, root: type[BaseModel], section: str = "") -> str:
    """Return one line for the deepest problem: it belongs to the form that fits best.

    Args:
        root: what was validated.
        section: the config key that holds it; empty for the whole config.
    """
    problem = max(_of_best_form(error.errors()), key=lambda e: (len(e["loc"]), e["type"] == "extra_forbidden"))
    *path, last = [str(part) for part in problem["loc"]] or ["at the top"]
    location = [part for part in path if not _is_form(part)]
    if problem["type"] in ("extra_forbidden", "missing") or not _is_form(last):
        location.append(last)  # a user's own key may have the name of a form
    key = ".".join([*section.split("."), *location] if section else location)
    if problem["type"] == "extra_forbidden":
        return f"config key {key} is unknown{nearest(last, _keys_beside(location, root))}"
    if problem["type"] == "missing":
        return f"config key {key} is missing"
    if problem["type"] == "literal_error" and last == "[key]":
        return f"config key {key.removesuffix('.[key]')} is unknown; use {problem['ctx']['expected']}"
    if problem["type"] == "model_type":
        return f"config key {key} takes keys of its own; found {problem['input']!r}"
    for form in (key, ".".join(location[:-1])):
        if form in ACCEPTED and "type" in problem["type"]:
            return f"config key {form} takes {ACCEPTED[form]}; found {problem['input']!r}"
    return f"config key {key}: {problem['msg']}, found {problem['input']!r}"


def _is_form(part: str) -> bool:
    return part in _FORMS or part.startswith("function")


def _of_best_form(problems: list[Any]) -> list[Any]:
    """Leave out the forms of a value that lack a key, where another mapping form has all of its keys."""
    forms = [p for p in problems if len(p["loc"]) > 1 and p["loc"][-2] in _FORMS]
    lacking = {p["loc"][:-1] for p in forms if p["type"] == "missing"}
    whole = {p["loc"][:-1] for p in forms} - lacking
    return [p for p in problems if not (whole and p["loc"][:-1] in lacking)]


def _keys_beside(location: list[str], root: type[BaseModel]) -> list[str]:
    """Return the keys that the section holding ``location`` knows, in all forms that it may have."""
    here: list[type[BaseModel]] = [root]
    for key in (part for part in location[:-1] if not part.isdigit()):
        fields = [section.model_fields[key] for section in here if key in section.model_fields]
        here = [section for field in fields for section in _sections(field.annotation)]
    return list(dict.fromkeys(key for section in here for key in section.model_fields))


def _sections(kind: Any) -> list[type[BaseModel]]:
    """Return the sections of the config that are, or are in, a type."""
    if inner := get_args(kind):
        return [section for part in inner for section in _sections(part)]
    return [kind] if isinstance(kind, type) and issubclass(kind, BaseModel) else []
