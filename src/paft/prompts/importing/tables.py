"""JSON lines, CSV and plain text."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.prompts.importing import promptsuite
from paft.prompts.importing.entry import Entry
from paft.tasks.rows import csv_problem
from paft.tasks.task import Task
from paft.utils.io import read_jsonl
from paft.utils.safe_io import PROMPTS, read_text

TEXT_KEYS = ("text", "prompt", "template", "instruction")
"""Accepted names of the template column."""


def json_lines(path: Path, task: Task) -> Iterator[Entry]:
    """Yield the prompts of a JSON lines file."""
    for number, row in read_jsonl(path):
        yield _columns(f"{path}:{number}", row)


def table(path: Path, task: Task) -> Iterator[Entry]:
    """Yield the prompts of a CSV or TSV file; one that PromptSuite wrote is known by its columns."""
    for place, row in csv_rows(path, read_text(path, PROMPTS)):
        if None in row:
            yield Entry(place, problem="more cells than the header; put texts in quotes")
        elif promptsuite.is_csv_row(row):
            yield promptsuite.row_entry(place, promptsuite.from_csv(row), task)
        else:
            yield _columns(place, {str(k).strip().lower(): v for k, v in row.items()})


def csv_rows(path: Path, text: str) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield the place of each row, and the row; cells beyond the header are under the key None.

    Raises:
        UserError: it is not CSV, such as where a quote is not closed, which would join the rows after it.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.reader.line_num}: not CSV: {csv_problem(error)}") from None


def _columns(place: str, row: dict[str, Any]) -> Entry:
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    system = row.get("system")
    if text is None:
        names = f"{', '.join(TEXT_KEYS[:-1])} or {TEXT_KEYS[-1]}"
        return Entry(place, problem=f"no column {names}; found {', '.join(map(str, row))}")
    return Entry(place, text, system if isinstance(system, str) else "")


def plain(path: Path, task: Task) -> Iterator[Entry]:
    """Split at lines of dashes if there are any, else at empty lines, else at every line."""
    text = read_text(path, PROMPTS).replace("\r\n", "\n")
    separator = next(
        (m for m in (r"^-{3,}[ \t]*$", r"^[ \t]*$") if re.search(m, text.strip(), re.MULTILINE)), r"$"
    )
    for line, part in text_parts(text, separator):
        yield Entry(f"{path}:{line}", part)


def text_parts(text: str, separator: str) -> Iterator[tuple[int, str]]:
    """Yield the texts between the lines that match a pattern, each with the number of its first line."""
    line = 1
    for part in re.split(separator, text, flags=re.MULTILINE):
        if part.strip():
            before = part[: len(part) - len(part.lstrip())]
            yield line + before.count("\n"), part
        line += part.count("\n")
