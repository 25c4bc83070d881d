"""Import prompts from JSON lines, CSV, plain text and promptsource's YAML, and clean their text."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from paft.errors import UserError
from paft.prompts.parse import clean
from paft.prompts.template import doubled_slots, single_braces, slot_matches
from paft.tasks.task import Task
from paft.types import LETTERS, Prompt
from paft.utils.io import read_jsonl
from paft.utils.safe_io import PROMPTS, Loader, read_text, yaml_tree

TEXT_KEYS = ("text", "prompt", "template", "instruction")
"""Accepted names of the template column."""

Failure = tuple[str, str]
"""The place of a prompt in a file, and the reason why it could not be imported."""


def _say_nothing(line: str) -> None:
    """Stand for a console that nobody reads."""


def import_prompts(
    path: Path, task: Task, say: Callable[[str], None] = _say_nothing
) -> tuple[list[Prompt], list[Failure]]:
    """Return the cleaned prompts of a file, and one entry for each that could not be imported.

    A template without a slot that has names in double braces is written for Jinja; they become slots. In any other
    template double braces are literal ones, as in paft's own files.

    Args:
        say: is told what could be meant in another way.

    Raises:
        UserError: the file cannot be read, or its format is unknown.
    """
    readers = {".jsonl": _jsonl, ".csv": _table, ".tsv": _table, ".txt": _plain, ".yaml": _jinja, ".yml": _jinja}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: prompts can be imported from {', '.join(readers)}; found {path.suffix or 'no suffix'}"
        )
    prompts: list[Prompt] = []
    failures: list[Failure] = []
    jinja: list[str] = []
    commands: list[str] = []
    for place, text, system in reader(path, task):
        if isinstance(text, Unreadable):
            failures.append((place, str(text)))
            continue
        text, system = clean(text), clean(system)
        if reader is not _jinja and _is_jinja(f"{system}\n{text}"):
            jinja.append(place)
            text, system = single_braces(text), single_braces(system)
        if _COMMAND.search(f"{system}\n{text}"):
            commands.append(place)
        if text:
            prompts.append(Prompt(text, system or None, source=path.name))
        else:
            failures.append((place, "the text is empty"))
    for places, what in (
        (jinja, "{{name}} became the slot {name}, since there is no other slot"),
        (commands, "\\n or \\t before a small letter stays, as in \\nabla; for a line end write a real one"),
    ):
        if places:
            say(f"{places[0]}{f' and {len(places) - 1} more' * (len(places) > 1)}: {what}")
    return prompts, failures


_COMMAND = re.compile(r"\\[nt](?=[a-z])")


def _is_jinja(template: str) -> bool:
    has_slot = next(slot_matches(template), None) is not None
    return not has_slot and next(doubled_slots(template), None) is not None


class Unreadable(str):
    """The reason why a text could not be imported."""


def _jsonl(path: Path, task: Task) -> Iterator[tuple[str, str, str]]:
    for number, row in read_jsonl(path):
        yield f"{path}:{number}", *_columns(row)


def _table(path: Path, task: Task) -> Iterator[tuple[str, str, str]]:
    reader = csv.DictReader(
        io.StringIO(read_text(path, PROMPTS)), delimiter="\t" if path.suffix.lower() == ".tsv" else ","
    )
    try:
        for row in reader:
            place, has_extra_cells = f"{path}:{reader.line_num}", None in row
            cells = {str(k).strip().lower(): v for k, v in row.items()}
            texts = (
                (Unreadable("more cells than the header; put texts in quotes"), "")
                if has_extra_cells
                else _columns(cells)
            )
            yield place, *texts
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not CSV: {error}") from None


def _columns(row: dict[str, Any]) -> tuple[str, str]:
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    system = row.get("system")
    if text is None:
        return Unreadable(
            f"no column {', '.join(TEXT_KEYS[:-1])} or {TEXT_KEYS[-1]}; found {', '.join(map(str, row))}"
        ), ""
    return text, system if isinstance(system, str) else ""


def _plain(path: Path, task: Task) -> Iterator[tuple[str, str, str]]:
    """Split at lines of dashes if there are any, else at empty lines, else at every line."""
    text = read_text(path, PROMPTS).replace("\r\n", "\n")
    separator = next(
        (m for m in (r"^-{3,}[ \t]*$", r"^[ \t]*$") if re.search(m, text.strip(), re.MULTILINE)), r"$"
    )
    line = 1
    for part in re.split(separator, text, flags=re.MULTILINE):
        if part.strip():
            yield f"{path}:{line + len(part) - len(part.lstrip())}", part, ""
        line += part.count("\n")


class _Loader(Loader):
    """A YAML loader that reads promptsource's tagged objects as plain mappings."""


def _mapping(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, f"tag !{suffix} on something that is not a mapping")
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!Template", _mapping)


def _jinja(path: Path, task: Task) -> Iterator[tuple[str, str, str]]:
    tree = yaml_tree(read_text(path, PROMPTS), str(path), _Loader, "YAML of promptsource")
    templates = tree.get("templates") if isinstance(tree, dict) else None
    if not isinstance(templates, dict):
        raise UserError(f"{path}: not YAML of promptsource: it has no mapping 'templates'")
    for key, template in templates.items():
        fields = template if isinstance(template, dict) else {}
        place = f"{path}: template {fields.get('name') or key}"
        jinja = fields.get("jinja")
        if not isinstance(jinja, str):
            yield place, Unreadable("it has no string 'jinja'"), ""
        else:
            yield place, _template(jinja.split("|||")[0], fields.get("answer_choices"), task), ""


_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_OPTION = re.compile(r"(\w+)(?:\[\s*(\d+)\s*\]|\.(\d+))")


def _template(jinja: str, choices: Any, task: Task) -> str:
    """Return a template with slots for a Jinja template that only refers to columns and single options."""
    if statement := re.search(r"\{[%#].*?[%#]\}", jinja, re.DOTALL):
        return Unreadable(f"it uses a Jinja statement: {' '.join(statement[0].split())[:60]}")
    answer_choices = [c.strip() for c in choices.split("|||")] if isinstance(choices, str) else []
    slots: dict[str, str] = {}
    for expression in _EXPRESSION.findall(jinja):
        if (slot := _slot(expression, answer_choices, task)) is None:
            return Unreadable(f"it uses a Jinja expression: {{{{ {expression[:60]} }}}}")
        slots[expression] = slot
    texts = _EXPRESSION.split(jinja)  # text and expression in turn
    return "".join(slots[part] if i % 2 else _escaped(part) for i, part in enumerate(texts))


def _escaped(text: str) -> str:
    """Return a text whose braces are literal ones."""
    return text.replace("{", "{{").replace("}", "}}")


def _slot(expression: str, answer_choices: list[str], task: Task) -> str | None:
    if re.fullmatch(r"\w+", expression):
        return f"{{{expression}}}"
    option = _OPTION.fullmatch(expression)
    if option is None:
        return None
    number = int(option[2] or option[3])
    if option[1] == "answer_choices" and number < len(answer_choices):
        computes = any(not re.fullmatch(r"\w+", inner) for inner in _EXPRESSION.findall(answer_choices[number]))
        return None if computes else _EXPRESSION.sub(lambda m: f"{{{m[1]}}}", answer_choices[number])
    return f"{{{LETTERS[number]}}}" if number < task.letters else None
