"""Tasks and examples from a config: built-in or user-defined, from files or from the hub."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from paft.config import Choices, HubSource, OptionColumns, Source, TargetFormat, TaskConfig
from paft.errors import UserError, nearest
from paft.files import read_jsonl
from paft.tasks.builtin import ALIASES, BUILTIN
from paft.tasks.task import LETTERS, Task
from paft.types import Example


@dataclass(frozen=True)
class Spec:
    """A task's config with nothing left out."""

    name: str
    fields: tuple[str, ...]
    choices: Choices
    target: str
    targets: TargetFormat
    answer: Literal["text", "letter"]
    top: float


def load_task(config: TaskConfig) -> tuple[Task, list[Example], list[Example]]:
    """Return the task with all its training and all its test examples.

    Raises:
        UserError: a key is missing, a file is broken, or a row does not fit the task.
    """
    spec = complete(config)
    train = _examples(spec, config.train, "train") if config.train else []
    test = _examples(spec, config.test, "test") if config.test else []
    return _task(spec, train + test), train, test


def complete(config: TaskConfig) -> Spec:
    """Fill what the config leaves out from the built-in task of its name, and check nothing is missing."""
    builtin = BUILTIN.get(config.name, config)

    def pick(key: str, default: Any = None) -> Any:
        given = getattr(config, key)
        given = getattr(builtin, key) if given is None else given
        return default if given is None else given

    for key in ("fields", "choices", "target"):
        if not pick(key):
            hint = nearest(config.name, BUILTIN)
            raise UserError(f"config key task.{key} is missing: {config.name!r} is not a built-in task{hint}")
    if "choices" in pick("fields"):
        raise UserError("config key task.fields: 'choices' is the slot of the options; rename the column")
    choices = pick("choices")
    if isinstance(choices, list) and len(set(choices)) < max(len(choices), 2):
        raise UserError("config key task.choices: at least two labels are needed, and none twice")
    return Spec(
        name=config.name,
        fields=tuple(pick("fields")),
        choices=choices,
        target=pick("target"),
        targets=pick("targets", "auto"),
        answer=pick("answer", "text"),
        top=pick("top", 0.85),
    )


def subset(examples: list[Example], size: int | None, seed: int) -> list[Example]:
    """Return at most ``size`` examples, drawn with the seed and kept in their order."""
    if size is None or size >= len(examples):
        return examples
    chosen = random.Random(f"subset:{seed}").sample(range(len(examples)), size)
    return [examples[i] for i in sorted(chosen)]


def _task(spec: Spec, examples: list[Example]) -> Task:
    counts = {len(example.options) for example in examples}
    labels = tuple(spec.choices) if isinstance(spec.choices, list) else None
    letters = counts.pop() if len(counts) == 1 else 0
    aliases = dict(ALIASES.get(spec.name, {}))
    if isinstance(spec.choices, OptionColumns):
        aliases.update(zip(spec.choices.columns, LETTERS, strict=False))
    return Task(spec.name, spec.fields, labels, spec.answer, spec.top, letters, aliases)


def _examples(spec: Spec, source: Source, split: str) -> list[Example]:
    examples = [_example(spec, place, number, row) for place, number, row in _rows(source)]
    if not examples:
        raise UserError(f"config key task.{split}: no examples in {source}")
    return examples


def _example(spec: Spec, place: str, number: int, row: dict[str, Any]) -> Example:
    fields = {name: _text(row, name, place) for name in spec.fields}
    options = _options(spec, row, place)
    target = _target_index(_cell(row, spec.target, place), options, spec.targets, f"{place}: {spec.target}")
    return Example(str(number), fields, options, target)


def _cell(row: dict[str, Any], column: str, place: str) -> Any:
    if column not in row:
        raise UserError(f"{place}: no column {column!r}{nearest(column, row)}")
    return row[column]


def _text(row: dict[str, Any], column: str, place: str) -> str:
    value = _cell(row, column, place)
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
    return tuple(options)


def _target_index(value: Any, options: tuple[str, ...], targets: TargetFormat, place: str) -> int:
    """Return the index of the option that a cell of the target column names."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else None
    readings: dict[str, list[int]] = {
        "text": [i for i, option in enumerate(options) if option in (value, text)],
        "letter": [i for i in range(len(options)) if text == LETTERS[i]],
        "zero-based": [i for i in range(len(options)) if text == str(i)],
        "one-based": [i for i in range(len(options)) if text == str(i + 1)],
    }
    order = ("text", "letter", "zero-based") if targets == "auto" else (targets,)
    for name in order:
        if readings[name]:
            return readings[name][0]
    shown = ", ".join(options) if sum(map(len, options)) < 200 else f"{len(options)} options"
    raise UserError(f"{place} is {value!r}, which is none of the choices ({shown}) read as {' or '.join(order)}")


def _rows(source: Source) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield ``(place to name in an error, row number from 0, row)``."""
    if isinstance(source, HubSource):
        yield from _hub_rows(source)
        return
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such data file")
    if path.suffix in (".jsonl", ".ndjson"):
        yield from ((f"{path}:{line}", line - 1, row) for line, row in read_jsonl(path))
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        yield from _table_rows(path)
    else:
        raise UserError(f"{path}: unknown kind of data file {path.suffix!r}; use .jsonl, .csv, .tsv or .parquet")


def _table_rows(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            header = csv.open_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter)).schema.names
            table = csv.read_csv(
                path,
                parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: cannot read the table: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(table.to_pylist()):
        yield f"{path}: row {number + 1}", number, row


def _hub_rows(source: HubSource) -> Iterator[tuple[str, int, dict[str, Any]]]:
    import datasets

    name = f"{source.hub} ({source.config or 'default'}, {source.split})"
    try:
        data = datasets.load_dataset(source.hub, source.config, split=source.split)
    except Exception as error:  # the hub client's errors have no common base
        raise UserError(f"data set {name}: cannot load: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(data):
        yield f"{name}: row {number + 1}", number, row
