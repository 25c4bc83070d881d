"""Rows of data files and of the hub, and the place of each row that an error names."""

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paft.config.task import HubSource, Source
from paft.errors import UserError, one_line
from paft.utils.io import read_json, read_jsonl
from paft.utils.safe_io import DATA, parquet_batches, read_text

LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", ".parquet")
JSON = ".json"
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclass(frozen=True)
class Rows:
    """The rows of one source.

    Attributes:
        source: where they came from; None for rows in memory.
        class_names: by column, the data set's own names of the classes that the column holds the numbers of.
        lines: of a table of texts, the line of the file on which each row begins.
    """

    source: Source | None
    rows: list[dict[str, Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lines: Sequence[int] = ()

    def place(self, index: int) -> str:
        """Return the place of a row in words."""
        return place(self.source, index)


def place(source: Source | None, index: int) -> str:
    """Return the place of the row that is the ``index``-th, counted from 0, of a source."""
    if source is None:
        return f"row {index + 1}"
    if isinstance(source, HubSource):
        return f"{_title(source)}: row {index + 1}"
    is_lines = Path(source).suffix.lower() in LINES
    return f"{source}:{index + 1}" if is_lines else f"{source}: row {index + 1}"


def read_rows(source: Source) -> Rows:
    """Return the rows of a file or a split, as they are.

    Raises:
        UserError: there is no such file or split, or it is damaged.
    """
    if isinstance(source, HubSource):
        return _hub_rows(source)
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such data file")
    suffix = path.suffix.lower()
    if suffix in LINES:
        return Rows(source, [row for _, row in read_jsonl(path, DATA)])
    if suffix == JSON:
        return Rows(source, read_json(path, DATA))
    if suffix == ".parquet":
        return _parquet_rows(path, source)
    if suffix in TABLES:
        numbered = list(_csv_rows(path))
        return Rows(source, [row for _, row in numbered], lines=[line for line, _ in numbered])
    if suffix in PACKED:
        raise UserError(f"{path}: a compressed file; unpack it")
    raise UserError(
        f"{path}: unknown kind of data file {path.suffix!r}; use {', '.join((LINES[0], JSON, *TABLES))}"
    )


def rows_in_memory(rows: Iterable[dict[str, Any]]) -> Rows:
    """Return rows in memory, such as those of a ``datasets.Dataset``, with its class names."""
    features = getattr(rows, "features", None) or {}
    return Rows(None, _with_short_floats(rows, _single_floats(features)), _class_names(features))


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a table in which every cell is the text that it holds, with the line each begins on."""
    csv.field_size_limit(DATA)  # the default of 128 KiB is less than a long article
    is_tsv = path.suffix.lower() == ".tsv"
    lines = csv.reader(
        io.StringIO(read_text(path, DATA), newline=""), delimiter="\t" if is_tsv else ",", strict=True
    )
    number, header, end = 0, None, 0
    try:
        for cells in lines:
            begin, end = end + 1, lines.line_num
            if not any(cells):  # an empty line, or a row of empty cells, as spreadsheets write at the end
                continue
            if header is None:
                header = _header(path, cells)
                continue
            number += 1
            _check_cells(f"{path}: row {number}", cells, len(header), is_tsv=is_tsv)
            yield begin, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        where = f"row {number + 1}" if header else "the header"
        raise UserError(f"{path}: {where} (line {lines.line_num}): {csv_problem(error)}") from None
    if header is None:
        raise UserError(f"{path}: the file is empty")


def csv_problem(error: csv.Error) -> str:
    """Return what is wrong with a table that is read strictly, and the fix."""
    text = str(error)
    if "expected after" in text:
        text = "a quoted cell goes on after its closing quote"
    elif "unexpected end" in text:
        text = "a quote opens a cell and never closes"
    return f'{text}; write "" for a quote in a quoted cell'


def _header(path: Path, names: list[str]) -> list[str]:
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
    if len(names) == 1 and (separator := next((s for s in (";", "\t", "|", ",") if s in names[0]), None)):
        raise UserError(
            f"{path}: the header is the one column {names[0]!r}; separate columns by "
            f"{'commas' if path.suffix.lower() == '.csv' else 'tabs'}, not by {separator!r}"
        )
    return names


def _check_cells(place: str, cells: list[str], width: int, *, is_tsv: bool) -> None:
    if is_tsv and any("\t" in cell for cell in cells):
        raise UserError(f'{place}: a quote opens a cell and does not close it; write "" for a quote in quotes')
    if len(cells) != width:
        raise UserError(
            f"{place} has {len(cells)} cells, the header has {width}; quote a text that holds the separator"
        )


def check_quotes(rows: Rows, target: str) -> None:
    """Refuse a cell of a table that took in whole rows, since a quote opens in one row and closes in another.

    Such a cell's lines are cut into cells as rows are, from the column of the cell to that same column, and each
    target among these cells is the target of another row. Text of several lines, with commas or not, is not so.

    Raises:
        UserError: names the cell and its first line.
    """
    if not rows.lines or target not in rows.rows[0]:
        return
    several = [(i, row) for i, row in enumerate(rows.rows) if any("\n" in cell for cell in row.values())]
    targets = {row[target] for row in rows.rows}
    separator = "\t" if str(rows.source).lower().endswith(".tsv") else ","
    for index, row in several:
        for column, name in enumerate(row):
            if "\n" in row[name] and _holds_rows(row[name], column, list(row), target, targets, separator):
                raise UserError(
                    f"{rows.place(index)} (line {rows.lines[index]}): the cell {name!r} holds "
                    f"{row[name].count(chr(10)) + 1} lines that look like rows; close the quote that opens it, or "
                    'write "" for it; if it is one text, use JSON lines'
                )


def _holds_rows(
    cell: str, column: int, header: list[str], target: str, targets: Collection[str], separator: str
) -> bool:
    """Return True if each line of a cell has the cells that a row has there, with a known target."""
    lines = cell.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines):
        names = header[column if number == 0 else 0 : column + 1 if number == len(lines) - 1 else None]
        cells = line.split(separator)
        if len(cells) != len(names) or (target in names and cells[names.index(target)] not in targets):
            return False
    return True


def _parquet_rows(path: Path, source: Source) -> Rows:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = [row for batch in parquet_batches(path) for row in batch.to_pylist()]
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        raise UserError(f"{path}: cannot read the table: {one_line(error)}") from None
    floats = [field.name for field in schema if pa.types.is_float32(field.type)]
    names = _stored_class_names((schema.metadata or {}).get(b"huggingface"))
    return Rows(source, _with_short_floats(rows, floats), names)


def _with_short_floats(rows: Iterable[dict[str, Any]], columns: Collection[str]) -> list[dict[str, Any]]:
    """Return rows in which a number of single precision is what people wrote: 2.8, not 2.799999952316284."""
    import numpy as np

    def short(value: Any) -> Any:
        return float(str(np.float32(value))) if isinstance(value, float) else value

    if not columns:
        return list(rows)
    return [row | {column: short(row[column]) for column in columns} for row in rows]


def _stored_class_names(metadata: bytes | None) -> dict[str, tuple[str, ...]]:
    """Return the class names that ``datasets`` writes into a Parquet file; none if there are none."""
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
        return {
            column: tuple(str(name) for name in feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _hub_rows(source: HubSource) -> Rows:
    import datasets

    try:
        data = datasets.load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
        return Rows(source, _with_short_floats(data, _single_floats(data.features)), _class_names(data.features))
    except Exception as error:  # the hub client's errors have no common base
        if (Path(source.hub) / "state.json").is_file():
            raise UserError(
                f"data set {_title(source)}: the folder is one data set of save_to_disk, without splits; write it "
                "with to_parquet and name that file, or save a DatasetDict"
            ) from None
        raise UserError(f"data set {_title(source)}: cannot load: {one_line(error)}") from None


def _class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the columns that are a ``datasets.ClassLabel``."""
    return {
        column: tuple(feature.names)
        for column, feature in features.items()
        if type(feature).__name__ == "ClassLabel" and feature.names
    }


def _single_floats(features: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that hold numbers of single precision."""
    return [column for column, feature in features.items() if getattr(feature, "dtype", None) == "float32"]


def _title(source: HubSource) -> str:
    return f"{source.hub} ({source.config or 'default'}, {source.split})"
