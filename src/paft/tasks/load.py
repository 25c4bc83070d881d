"""Tasks and examples from a config: built-in or user-defined, from files or from the hub."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from paft.config.schema import Choices, HubSource, OptionColumns, Source, TargetFormat, TaskConfig
from paft.errors import UserError, nearest, one_line
from paft.scoring.answer_format import AnswerFormat, get_answer_format
from paft.tasks.builtin import ALIASES, BUILTIN
from paft.tasks.task import Task
from paft.types import LETTERS, Example
from paft.utils.io import read_jsonl
from paft.utils.safe_io import DATA, parquet_batches, too_large

T = TypeVar("T")

ROWS_A_CHOICE = 10
"""If a choice never occurs in this many rows for each choice, that is hardly chance."""

PlacedRow = tuple[str, dict[str, Any]]
"""The place to name in an error, and the row."""


@dataclass(frozen=True)
class Spec:
    """A task's config with every key filled in."""

    name: str
    description: str
    fields: tuple[str, ...]
    choices: Choices
    target: str
    target_format: TargetFormat
    answer_format: AnswerFormat
    top_threshold: float

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The options where all examples share them."""
        return tuple(self.choices) if isinstance(self.choices, list) else None


def load_task(config: TaskConfig) -> tuple[Task, list[Example], list[Example]]:
    """Return the task with all its training and all its test examples.

    Raises:
        UserError: a key is missing, a file is damaged, or a row does not fit the task.
    """
    spec = complete(config)
    train = _rows(config.train, "train") if config.train else []
    test = _rows(config.test, "test") if config.test else []
    examples = _examples(spec, train + test)
    of_test = [replace(example, id=str(number)) for number, example in enumerate(examples[len(train) :])]
    return _task(spec, examples), examples[: len(train)], of_test


def task_of_rows(rows: Iterable[dict[str, Any]], config: TaskConfig) -> tuple[Task, list[Example]]:
    """Return the task and the examples of rows in memory, such as those of a ``datasets.Dataset``."""
    spec = complete(config)
    examples = _examples(spec, [(f"row {number}", row) for number, row in enumerate(rows, start=1)])
    return _task(spec, examples), examples


def complete(config: TaskConfig) -> Spec:
    """Fill what the config leaves out from the built-in task of its name, and check nothing is missing."""
    builtin = BUILTIN.get(config.name, config)

    def pick(key: str, default: Any = None) -> Any:
        values = [value for value in (getattr(config, key), getattr(builtin, key)) if value not in (None, "")]
        return values[0] if values else default

    for key in ("fields", "choices", "target"):
        if not pick(key):
            hint = nearest(config.name, BUILTIN)
            raise UserError(f"config key task.{key} is missing: {config.name!r} is not a built-in task{hint}")
    for name in pick("fields"):
        if name in ("choices", *LETTERS) or not name.isidentifier():
            raise UserError(f"config key task.fields: {name!r} cannot be a slot {{{name}}}; rename the column")
        if name == pick("target"):
            raise UserError(f"config key task.fields: {name!r} is the target; the prompt would show the answer")
    if config.train is not None and config.train == config.test:
        raise UserError(
            "config key task.test: the test examples are the training examples; name another file or split"
        )
    choices = pick("choices")
    how = get_answer_format(pick("answer", "label"))
    if isinstance(choices, list) and how.max_options is not None and len(choices) > how.max_options:
        raise UserError(
            f"config key task.answer: {how.name} takes at most {how.max_options} options, found {len(choices)} "
            "labels; use label"
        )
    if isinstance(choices, list) and len(set(choices)) < max(len(choices), 2):
        raise UserError("config key task.choices: at least two labels are needed, and none twice")
    return Spec(
        name=config.name,
        description=pick("description", ""),
        fields=tuple(pick("fields")),
        choices=choices,
        target=pick("target"),
        target_format=pick("target_format", "auto"),
        answer_format=how,
        top_threshold=pick("top_threshold", 0.85),
    )


def subset(examples: list[T], size: int | None, seed: int) -> list[T]:
    """Return at most ``size`` examples, drawn with the seed and kept in their order."""
    if size is None or size >= len(examples):
        return examples
    chosen = random.Random(f"subset:{seed}").sample(range(len(examples)), size)
    return [examples[i] for i in sorted(chosen)]


def _task(spec: Spec, examples: list[Example]) -> Task:
    counts = {len(example.options) for example in examples}
    letters = counts.pop() if len(counts) == 1 else 0
    aliases = dict(ALIASES.get(spec.name, {}))
    if isinstance(spec.choices, OptionColumns):
        aliases.update(zip(spec.choices.columns, LETTERS, strict=False))
    return Task(
        spec.name,
        spec.fields,
        spec.labels,
        spec.answer_format,
        spec.top_threshold,
        letters,
        aliases,
        spec.description,
        answer_names=(spec.target,),
    )


def _rows(source: Source, split: str) -> list[PlacedRow]:
    placed = list(rows(source))
    if not placed:
        raise UserError(f"config key task.{split}: no examples in {source}")
    return placed


def _examples(spec: Spec, rows: list[PlacedRow]) -> list[Example]:
    options = [_options(spec, row, place) for place, row in rows]
    values = [_cell(row, spec.target, place) for place, row in rows]
    targets = _targets(spec, values, options, [place for place, _ in rows])
    fields = [{name: _text(row, name, place) for name in spec.fields} for place, row in rows]
    for (place, _), texts in zip(rows, fields, strict=True):
        if not any(text.strip() for text in texts.values()):
            raise UserError(f"{place}: nothing is asked, {' and '.join(texts)} is empty; leave the row out")
    return [
        Example(str(number), texts, opts, target)
        for number, (texts, opts, target) in enumerate(zip(fields, options, targets, strict=True))
    ]


def _targets(spec: Spec, values: list[Any], options: list[tuple[str, ...]], places: list[str]) -> list[int]:
    """Return the index of each row's right option; all rows, of both splits, are read in one way."""
    order = ("text", "letter", "zero-based") if spec.target_format == "auto" else (spec.target_format,)
    indices = {name: [_index(v, o, name) for v, o in zip(values, options, strict=True)] for name in order}
    whole = [name for name in order if None not in indices[name]]
    if not whole:
        best = max(order, key=lambda name: sum(index is not None for index in indices[name]))
        row = indices[best].index(None)
        shown = ", ".join(options[row]) if sum(map(len, options[row])) < 200 else f"{len(options[row])} options"
        raise UserError(
            f"{places[row]}: {spec.target} is {values[row]!r}, which is none of the choices ({shown}) "
            f"read as {' or '.join(order)}; see task.target_format, which takes one-based too"
        )
    if spec.labels is None and any(indices[name] != indices[whole[0]] for name in whole):
        raise UserError(
            f"{places[0]}: {spec.target} can be read as {' and as '.join(whole)}, "
            "with different answers; set task.target_format"
        )
    from_one = all(_index(v, o, "one-based") is not None for v, o in zip(values, options, strict=True))
    if whole[0] == "zero-based" and from_one and len(values) >= ROWS_A_CHOICE * len(options[0]) and len(order) > 1:
        raise UserError(
            f"{places[0]}: {spec.target} is never 0 in {len(values)} rows, so it may count from one; "
            "set task.target_format to zero-based or one-based"
        )
    return [index for index in indices[whole[0]] if index is not None]


def _index(value: Any, options: tuple[str, ...], reading: str) -> int | None:
    """Return the index of the option that a cell of the target column names, None where it names none."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else None
    if text is None:
        return None
    names = {
        "text": options,
        "letter": LETTERS[: len(options)],
        "zero-based": [str(i) for i in range(len(options))],
        "one-based": [str(i + 1) for i in range(len(options))],
    }[reading]
    return next((i for i, name in enumerate(names) if name in (value, text)), None)


def _cell(row: dict[str, Any], column: str, place: str) -> Any:
    if column not in row:
        raise UserError(f"{place}: no column {column!r}{nearest(column, row)}")
    return row[column]


def _text(row: dict[str, Any], column: str, place: str) -> str:
    value = _cell(row, column, place)
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"{place}: column {column!r} holds no value (NaN)")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"{place}: column {column!r} holds {type(value).__name__}, expected text")


def _options(spec: Spec, row: dict[str, Any], place: str) -> tuple[str, ...]:
    if isinstance(spec.choices, list):
        return tuple(spec.choices)
    if isinstance(spec.choices, OptionColumns):
        options = [_text(row, column, place) for column in spec.choices.columns]
    else:
        value = _cell(row, str(spec.choices), place)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise UserError(f"{place}: column {spec.choices!r} must hold a list of texts")
        options = value
    if not 2 <= len(options) <= len(LETTERS):
        raise UserError(f"{place}: {len(options)} options; a question has 2 to {len(LETTERS)}")
    if not all(option.strip() for option in options):
        raise UserError(f"{place}: an option is empty; fill it or leave the row out")
    return tuple(options)


def rows(source: Source) -> Iterator[PlacedRow]:
    """Yield the rows of a file or a split, as they are."""
    if isinstance(source, HubSource):
        yield from _hub_rows(source)
        return
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such data file")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from ((f"{path}:{line}", row) for line, row in read_jsonl(path, DATA))
    elif path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        yield from _table_rows(path)
    else:
        raise UserError(f"{path}: unknown kind of data file {path.suffix!r}; use .jsonl, .csv, .tsv or .parquet")


def _table_rows(path: Path) -> Iterator[PlacedRow]:
    import pyarrow as pa

    read = parquet_batches if path.suffix.lower() == ".parquet" else _csv
    try:
        rows = [row for batch in read(path) for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        raise UserError(f"{path}: cannot read the table: {one_line(error)}") from None
    for number, row in enumerate(rows, start=1):
        place = f"{path}: row {number}"
        if path.suffix.lower() == ".tsv" and any("\t" in str(cell) for cell in row.values()):
            raise UserError(f'{place}: a quote opens a cell and does not close it; write "" for a quote in quotes')
        yield place, row


def _csv(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv

    if path.stat().st_size > DATA:
        raise too_large(path, DATA)
    parse = csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True)
    header = csv.open_csv(path, parse_options=parse).schema.names
    if twice := [name for name in header if header.count(name) > 1]:
        raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False)
    yield from csv.read_csv(path, parse_options=parse, convert_options=as_text).to_batches()


def _hub_rows(source: HubSource) -> Iterator[PlacedRow]:
    import datasets

    name = f"{source.hub} ({source.config or 'default'}, {source.split})"
    try:
        data = datasets.load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    except Exception as error:  # the hub client's errors have no common base
        raise UserError(f"data set {name}: cannot load: {one_line(error)}") from None
    for number, row in enumerate(data, start=1):
        yield f"{name}: row {number}", row
