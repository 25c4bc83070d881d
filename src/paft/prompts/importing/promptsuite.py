"""Prompts of PromptSuite: its variations, in JSON or CSV, and its template dictionaries.

Format: https://github.com/eliyahabba/PromptSuite, ``core/engine.py`` (export) and ``core/template_keys.py``. A row
holds the text that was filled in for one example, and mostly the template behind it, under ``field_values``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paft.prompts.importing.braces import from_placeholders
from paft.prompts.importing.chat import has_answers, system_and_user
from paft.prompts.importing.entry import Entry, UnreadableError
from paft.prompts.importing.unfill import unfill
from paft.tasks.task import Task, slot_name

_TEXT, _SYSTEM = "prompt format variations", "instruction variations"
_OLD_TEXT = "instruction"
"""The key of the template in files of MultiPromptify, as PromptSuite was called."""

_COLUMNS = 200
"""Columns of an example whose values are looked for in a text, at most."""

_EXAMPLES = "imported without PromptSuite's few-shot examples, which are no part of the template"


def is_csv_row(row: Mapping[Any, Any]) -> bool:
    """Return True for a row of PromptSuite's CSV."""
    return {"prompt", "original_row_index", "variation_count"} <= row.keys()


def from_csv(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of the CSV in the form of the JSON."""
    example = {k.removeprefix("original_"): v for k, v in row.items() if k.startswith("original_")}
    example.pop("row_index")
    values = {k.removeprefix("field_"): v for k, v in row.items() if k.startswith("field_")}
    return {"prompt": row["prompt"], "field_values": values, "original_row_data": example}


def has_prompts(tree: Any) -> bool:
    """Return True if a JSON or YAML tree holds variations or templates."""
    return bool(_rows(tree)) or any(_is_template(item) for _, item in _items(tree))


def entries(path: Path, tree: Any, task: Task) -> Iterator[Entry]:
    """Yield the prompts of a JSON or YAML tree."""
    if rows := _rows(tree):
        for number, row in enumerate(rows, 1):
            if _is_row(row):
                yield row_entry(f"{path}: row {number}", row, task)
            else:
                yield Entry(f"{path}: row {number}", problem="it has no prompt and field_values")
        return
    for name, template in _items(tree):
        place = f"{path}: template {name}"
        if _is_template(template):
            yield _template_entry(place, template)
        else:
            yield Entry(place, problem="it has no text 'prompt format'")


def row_entry(place: str, row: Mapping[str, Any], task: Task) -> Entry:
    """Return the entry of a variation: its template, or its text with slots for values where the row has none."""
    row = {**row, **_mapping(row, "configuration")}
    values = _mapping(row, "field_values")
    try:
        if isinstance(values.get(_TEXT), str):
            return _known_template(place, values[_TEXT], values.get(_SYSTEM), row, task)
        if isinstance(values.get(_OLD_TEXT), str):
            return _known_template(place, values[_OLD_TEXT], None, row, task)
        system, text = _filled(row)
        return _unfilled(place, system, text, row, task)
    except UnreadableError as reason:
        return Entry(place, problem=str(reason))


def _rows(tree: Any) -> list[Any]:
    return tree if isinstance(tree, list) and any(map(_is_row, tree)) else []


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("prompt"), str)
        and any(key in row for key in ("field_values", "configuration", "original_row_index"))
    )


def _items(tree: Any) -> list[tuple[Any, Any]]:
    """Return the names and values of what may be template dictionaries.

    A file holds one of them, a mapping or a list of them, or a list of objects with ``name`` and ``template``.
    """
    if _is_template(tree):
        return [(1, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree, 1) if isinstance(tree, list) else ()
    return [
        (item.get("name", key), item.get("template", item)) if isinstance(item, dict) else (key, item)
        for key, item in items
    ]


def _is_template(tree: Any) -> bool:
    return isinstance(tree, dict) and isinstance(tree.get("prompt format", tree.get("instruction_template")), str)


def _template_entry(place: str, template: Mapping[str, Any]) -> Entry:
    text = template.get("prompt format", template.get("instruction_template"))
    system = template.get("instruction")
    note = _EXAMPLES if template.get("few_shot") else ""
    return _entry(place, _without(text, _gold(template)), system, note)


def _known_template(place: str, text: str, system: Any, row: Mapping[str, Any], task: Task) -> Entry:
    """Return the entry of a template that a row names.

    The slot of the right answer is empty in PromptSuite's prompts. CSV does not name it, the task does.

    Raises:
        UnreadableError: the row's prompt does not end as the template does, so the template is not all there is.
    """
    settings = _mapping(row, "template_config")
    names = _gold(settings) if settings else task.answer_names
    text = _without(text, names)
    prompt = str(row.get("prompt") or "")
    if not prompt.rstrip().endswith(text.rpartition("}")[2].rstrip()):
        raise UnreadableError(
            "its prompt does not end as its template does; PromptSuite's key gold may be missing"
        )
    start = text.partition("{")[0]
    has_examples = (bool(start.strip()) and prompt.count(start) > 1) or has_answers(row.get("conversation"))
    return _entry(place, text, system, _EXAMPLES if has_examples else "")


def _entry(place: str, text: str, system: Any, note: str) -> Entry:
    system = from_placeholders(system) if isinstance(system, str) else ""
    return Entry(place, from_placeholders(text), system, note=note, is_template=True)


def _gold(template: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the name of the slot of the right answer, if a template names one."""
    gold = template.get("gold")
    name = gold.get("field") if isinstance(gold, dict) else gold
    return (name,) if isinstance(name, str) else ()


def _without(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        text = text.replace(f"{{{name}}}", "")
    return text


def _filled(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the system text and the text of a row, with an example's values in them."""
    if row.get("conversation"):
        return system_and_user(row["conversation"])
    return "", str(row.get("prompt") or "")


def _unfilled(place: str, system: str, text: str, row: Mapping[str, Any], task: Task) -> Entry:
    """Return the entry of a text in which the example's values are slots again.

    Raises:
        UnreadableError: the row does not give a field's value, or the text holds another column of the example.
    """
    columns = {**_mapping(row, "original_row_data"), **_mapping(row, "field_values")}
    if len(columns) > _COLUMNS:
        raise UnreadableError(f"it has more than {_COLUMNS} columns")
    values = {str(name): _text(value) for name, value in columns.items()}
    values = {name: value for name, value in values.items() if value}
    slots = {name: task.aliases.get(slot_name(name), slot_name(name)) for name in values}
    slots = {name: slot for name, slot in slots.items() if slot in task.slots}
    if missing := [field for field in task.fields if slot_name(field) not in slots.values()]:
        raise UnreadableError(
            f"it is filled in for one example, and the row does not give the example's {missing[0]}"
        )
    answers = {*task.answer_names, *_gold(_mapping(row, "template_config"))}
    for name in sorted(values.keys() - slots.keys() - answers):
        if values[name] in system or values[name] in text:
            raise UnreadableError(f"it holds the example's {name}, and the task has no slot {{{name}}}")
    system, text = unfill((system, text), {name: values[name] for name in slots})
    return Entry(place, text, system, is_template=True)


def _mapping(row: Mapping[str, Any], key: str) -> dict[Any, Any]:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Return a value as PromptSuite writes it into a prompt; empty for what is no text or number."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str | int | float) else ""
