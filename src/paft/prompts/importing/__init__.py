"""Import prompts from the files of other tools, and clean their text."""

import re
from collections.abc import Callable
from pathlib import Path

from paft.errors import UserError
from paft.prompts.importing.braces import jinja_entry
from paft.prompts.importing.documents import json_document, yaml_document
from paft.prompts.importing.tables import json_lines, plain, table
from paft.prompts.parse import clean
from paft.prompts.template import doubled_slots, slot_matches
from paft.tasks.task import Task
from paft.types import Prompt
from paft.utils.safe_io import PROMPTS, too_large

READERS = {
    ".jsonl": json_lines,
    ".csv": table,
    ".tsv": table,
    ".txt": plain,
    ".json": json_document,
    ".yaml": yaml_document,
    ".yml": yaml_document,
}
"""What yields the entries of a file, by its suffix."""

Failure = tuple[str, str]
"""The place of a prompt in a file, and the reason why it could not be imported."""

_JINJA = "{{name}} became the slot {name}, since there is no other slot"
_COMMANDS = "\\n or \\t before a small letter stays, as in \\nabla; for a line end write a real one"
_STATEMENT = re.compile(r"\{%-? *(?:if|elif|else|endif|for|endfor|set)\b")
_COMMAND = re.compile(r"\\[nt](?=[a-z])")


def _say_nothing(line: str) -> None:
    """Stand for a console that nobody reads."""


def import_prompts(
    path: Path, task: Task, say: Callable[[str], None] = _say_nothing
) -> tuple[list[Prompt], list[Failure]]:
    """Return the cleaned prompts of a file, and one entry for each that could not be imported.

    A template without a slot that has names in double braces is written for Jinja; they become slots. In any other
    template double braces are literal ones, as in paft's own files. Files of promptsource, promptfoo and
    PromptSuite are read by the rules of these tools instead.

    Args:
        say: is told what could be meant in another way.

    Raises:
        UserError: the file cannot be read or is too large, or its format is unknown.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: prompts can be imported from {', '.join(READERS)}; found {path.suffix or 'no suffix'}"
        )
    prompts: list[Prompt] = []
    failures: list[Failure] = []
    size = 0
    notes: dict[str, list[str]] = {_JINJA: [], _COMMANDS: []}
    for entry in reader(path, task):
        if entry.problem:
            failures.append((entry.place, entry.problem))
            continue
        size += len(entry.text) + len(entry.system)
        if size > PROMPTS:  # a short file may name a long text many times
            raise too_large(path, PROMPTS)
        text, system = clean(entry.text), clean(entry.system)
        if entry.note:
            notes.setdefault(entry.note, []).append(entry.place)
        if not entry.is_template and _is_jinja(f"{system}\n{text}"):
            template = jinja_entry(entry.place, text, system)
            if template.problem:
                failures.append((entry.place, template.problem))
                continue
            notes[_JINJA].append(entry.place)
            text, system = template.text, template.system
        if _COMMAND.search(f"{system}\n{text}"):
            notes[_COMMANDS].append(entry.place)
        if text:
            prompts.append(Prompt(text, system or None, source=path.name))
        else:
            failures.append((entry.place, "the text is empty"))
    for note, places in notes.items():
        if places:
            say(f"{places[0]}{f' and {len(places) - 1} more' * (len(places) > 1)}: {note}")
    return prompts, failures


def _is_jinja(template: str) -> bool:
    has_slot = next(slot_matches(template), None) is not None
    return _STATEMENT.search(template) is not None or (
        not has_slot and next(doubled_slots(template), None) is not None
    )
