"""Reading a config file: YAML, overrides, paths, and one line for whatever is wrong with it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from paft.config.schema import Config, GenerateSource, HubSource, ModelConfig
from paft.errors import UserError, nearest
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
    for override in overrides or []:
        _apply_override(tree, override)
    try:
        config = Config.model_validate({key: value for key, value in tree.items() if value is not None})
        return _resolve_paths(config, path.resolve().parent)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_problem(error)}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


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


def _apply_override(tree: dict[str, Any], override: str) -> None:
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
    "task.choices": "a list of labels (quote yes, no and numbers), a column name, or {columns: [ONE, TWO]}",
    "task.scorer": "a name, {name: NAME, ...its settings}, or module:name of your own",
    "prompts.train": "a path, {bank: NAME, size: N} or {generate: {models: [...]}}",
    "prompts.test": "a path, or {bank: NAME, size: N}",
    "prompts.user": "a text, or {text: T, system: S}",
    "training.report_to": "a name or a list of names",
}
"""What keys that take several forms take, for error messages."""

_FORMS = {
    "str",
    "list[str]",
    "dict[str,any]",
    "HubSource",
    "BankSource",
    "GenerateSource",
    "OptionColumns",
    "UserPrompt",
}
_FORMS |= {"local", "served"}
"""How pydantic marks in a location which of several forms it tried."""


def _first_problem(error: ValidationError) -> str:
    """Return one line for the deepest problem: it belongs to the form that fits best."""
    problem = max(_of_best_form(error.errors()), key=lambda e: (len(e["loc"]), e["type"] == "extra_forbidden"))
    *path, last = [str(part) for part in problem["loc"]] or ["at the top"]
    location = [part for part in path if not _is_form(part)]
    if problem["type"] in ("extra_forbidden", "missing") or not _is_form(last):
        location.append(last)  # a user's own key may have the name of a form
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"config key {key} is unknown{nearest(last, _keys_beside(location))}"
    if problem["type"] == "missing":
        return f"config key {key} is missing"
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


def _keys_beside(location: list[str]) -> list[str]:
    """Return the keys that the section holding ``location`` knows, in all forms that it may have."""
    here: list[type[BaseModel]] = [Config]
    for key in (part for part in location[:-1] if not part.isdigit()):
        fields = [section.model_fields[key] for section in here if key in section.model_fields]
        here = [section for field in fields for section in _sections(field.annotation)]
    return list(dict.fromkeys(key for section in here for key in section.model_fields))


def _sections(kind: Any) -> list[type[BaseModel]]:
    """Return the sections of the config that are, or are in, a type."""
    if inner := get_args(kind):
        return [section for one in inner for section in _sections(one)]
    return [kind] if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _resolve_paths(config: Config, folder: Path) -> Config:
    """Make every relative path of the config absolute, seen from the config file's folder."""

    def absolute(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return str((folder / Path(value).expanduser()).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{value!r} is no path: {error}") from None

    task, prompts, model = config.task, config.prompts, config.model
    task.train, task.test = absolute(task.train), absolute(task.test)
    for source in (task.train, task.test):
        if isinstance(source, HubSource):
            source.hub = _model_path(source.hub, absolute)
    prompts.train, prompts.test = absolute(prompts.train), absolute(prompts.test)
    if isinstance(model, ModelConfig):
        model.adapter = absolute(model.adapter)
        if model.chat_template not in ("auto", "none"):
            model.chat_template = absolute(model.chat_template)
        model.path = _model_path(model.path, absolute)
    batprompt, zopo = config.baselines.batprompt, config.baselines.zopo
    zopo.embeddings = zopo.embeddings if zopo.embeddings == "model" else _model_path(zopo.embeddings, absolute)
    asked = prompts.train.generate.models if isinstance(prompts.train, GenerateSource) else []
    batprompt.encoder = _model_path(batprompt.encoder, absolute)
    asked = [*asked, batprompt.llm] if batprompt.llm else asked
    for llm in asked:
        llm.model = llm.model if llm.base_url else _model_path(llm.model, absolute)
    return config


def _model_path(path: str, absolute: Callable[[str], str]) -> str:
    """Return an absolute path for what is one; a hub id or an embedded model stays as it is."""
    here = path.startswith((".", "~", "/")) or Path(absolute(path)).exists()
    return absolute(path) if here else path
