"""Write docs/config.md: every key of the config, from the code that reads it.

python docs/make_config.py
"""

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from paft.config import schema
from paft.config.model import LlmConfig, ModelConfig, ServedModel
from paft.config.task import HubSource, OptionColumns, TaskConfig
from paft.methods.batprompt.method import BatPrompt
from paft.methods.top_accuracy import TopAccuracy
from paft.methods.zopo.method import Zopo
from paft.training.grpo.settings import GroupSettings

PAGE = Path(__file__).with_name("config.md")

HEAD = """# All config keys

*Made from the code by `python docs/make_config.py`.*

A [config](../README.md) has the sections below; only `task` is required. On the command line, a key is set as in
`paft run config.yaml training.K=1`. If a key has no default, its description says what
happens when you leave it out.
"""

SECTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("model", "", ModelConfig),
    ("model, behind an endpoint", "Any key of an endpoint makes the model a served one.", ServedModel),
    ("task", "[Tasks](tasks.md)", TaskConfig),
    ("task.train, task.test of the hub", "", HubSource),
    ("task.choices in columns", "", OptionColumns),
    ("prompts", "[Prompts](prompts.md)", schema.PromptsConfig),
    ("prompts.train, prompts.test from a bank", "", schema.BankSource),
    ("prompts.train.generate", "[Stage 1](prompts.md#generate-with-language-models)", schema.GenerateConfig),
    ("prompts.train.generate.models[]", "", LlmConfig),
    ("prompts.screen", "[The rules](prompts.md#the-rules)", schema.ScreenConfig),
    ("methods[]", "An entry of `methods` is a name, or:", schema.NamedVariant),
    ("training", "", schema.TrainingConfig),
    ("training.lora", "", schema.LoraSection),
    ("evaluation", "[Scoring](scoring.md)", schema.EvaluationConfig),
    ("baselines.top_accuracy", "[Baselines](baselines.md)", TopAccuracy),
    ("baselines.zopo", "", Zopo),
    ("baselines.batprompt", "", BatPrompt),
    ("baselines.grpo", "[GRPO](beyond.md#reinforcement-learning)", GroupSettings),
]


def page() -> str:
    """Return the page."""
    parts = [HEAD, _table("", "", schema.Config)]
    return "\n".join(parts + [_table(*section) for section in SECTIONS])


def _table(name: str, note: str, model: type[BaseModel]) -> str:
    """Return a section of the page: a heading, and a row for each key that is no section of its own."""
    properties = model.model_json_schema()
    described = _descriptions(model)
    rows = []
    for key, field in model.model_fields.items():
        if not _is_section(key, field.default):
            cells = [f"`{key}`", _values(properties["properties"][key], properties), _default(field)]
            rows.append("".join(f"| {cell} " if cell else "| " for cell in [*cells, described.get(key, "")]) + "|")
    head = [f"## {name}\n"] if name else []
    summary = inspect.cleandoc(model.__doc__ or "").replace("``", "`") if name else ""
    text = [" ".join(f"{summary} {note}".split()) + "\n"] if name else []
    return "\n".join([*head, *text, "| key | value | default | |", "|---|---|---|---|", *rows, ""])


def _is_section(key: str, default: Any) -> bool:
    """Return whether a key has a table of its own, or is not for users (``run``)."""
    return isinstance(default, BaseModel) or key in ("task", "run")


def _default(field: Any) -> str:
    """Return a field's default as YAML has it; nothing for null and for an empty text."""
    if field.is_required():
        return "*required*"
    default = float(f"{field.default:.3g}") if isinstance(field.default, float) else field.default
    return "" if default in (None, "") else f"`{json.dumps(default)}`".replace('"', "")


def _values(node: dict[str, Any], root: dict[str, Any]) -> str:
    """Return which values a JSON schema accepts, in words."""
    if "$ref" in node:
        return _of_reference(node["$ref"].rpartition("/")[2], root)
    if "anyOf" in node or "oneOf" in node:
        parts = [_values(part, root) for part in node.get("anyOf") or node["oneOf"]]
        return " or ".join(dict.fromkeys(part for part in parts if part != "null"))
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kind = node.get("type", "any")
    if kind == "array":
        return f"list of {_values(node.get('items', {}), root)}"
    names = {"string": "text", "integer": "whole number", "object": "mapping", "boolean": "true or false"}
    return names.get(kind, kind) + _limits(node)


def _of_reference(name: str, root: dict[str, Any]) -> str:
    """Return the keys of a section that has no default of its own."""
    node = root["$defs"][name]
    return f"`{{{', '.join(node['properties'])}}}`"


def _limits(node: dict[str, Any]) -> str:
    """Return the limits of a number, as ``≥ 1`` and ``< 50``."""
    names = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {node[key]}" for key, sign in names.items() if key in node]
    return f" {', '.join(found)}" if found else ""


def _descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field, on one line; of a class and of those that it extends."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner is BaseModel or not issubclass(owner, BaseModel):
            continue
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for node, after in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = inspect.cleandoc(str(ast.literal_eval(after.value)))
                found[ast.unparse(node.target)] = " ".join(text.split()).replace("``", "`").replace("|", "\\|")
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
