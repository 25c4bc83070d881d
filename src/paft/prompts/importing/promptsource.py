"""Templates of promptsource's YAML."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from paft.errors import UserError
from paft.prompts.importing.braces import from_jinja
from paft.prompts.importing.entry import Entry, UnreadableError
from paft.tasks.task import Task
from paft.types import LETTERS
from paft.utils.safe_io import Loader

_OPTION = re.compile(r"(\w+)(?:\[\s*(\d+)\s*\]|\.(\d+))")


class PromptsourceLoader(Loader):
    """A YAML loader that reads promptsource's tagged objects as plain mappings."""


def _mapping(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, f"tag !{suffix} on something that is not a mapping")
    return loader.construct_mapping(node, deep=True)


PromptsourceLoader.add_multi_constructor("!Template", _mapping)


def entries(path: Path, tree: dict[Any, Any], task: Task) -> Iterator[Entry]:
    """Yield the prompts of promptsource's YAML.

    Raises:
        UserError: its ``templates`` are no mapping.
    """
    templates = tree["templates"]
    if not isinstance(templates, dict):
        raise UserError(f"{path}: not YAML of promptsource: it has no mapping 'templates'")
    for key, template in templates.items():
        fields = template if isinstance(template, dict) else {}
        place = f"{path}: template {fields.get('name') or key}"
        jinja = fields.get("jinja")
        if not isinstance(jinja, str):
            yield Entry(place, problem="it has no string 'jinja'")
            continue
        choices = fields.get("answer_choices")
        options = [c.strip() for c in choices.split("|||")] if isinstance(choices, str) else []
        try:
            text = from_jinja(jinja.split("|||")[0], partial(_slot, answer_choices=options, task=task))
        except UnreadableError as reason:
            yield Entry(place, problem=str(reason))
        else:
            yield Entry(place, text, is_template=True)


def _slot(expression: str, answer_choices: list[str], task: Task) -> str | None:
    """Return the template for an expression that refers to a column or to a single option."""
    if re.fullmatch(r"\w+", expression):
        return f"{{{expression}}}"
    option = _OPTION.fullmatch(expression)
    if option is None:
        return None
    number = int(option[2] or option[3])
    if option[1] == "answer_choices" and number < len(answer_choices):
        return from_jinja(answer_choices[number])
    return f"{{{LETTERS[number]}}}" if number < task.letters else None
