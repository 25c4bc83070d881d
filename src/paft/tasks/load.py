"""Tasks and examples from a config: built-in or user-defined, from files or from the hub."""

import math
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from paft.config.task import Choices, OptionColumns, Source, TargetFormat, TaskConfig, cell_text
from paft.errors import UserError, nearest
from paft.scoring import Scorer, TargetChecker
from paft.scoring.answer_format import AnswerFormat, get_answer_format
from paft.scoring.registry import text_answers
from paft.tasks.builtin import ALIASES, BUILTIN
from paft.tasks.rows import Rows, check_quotes, place, read_rows, rows_in_memory
from paft.tasks.targets import TargetColumn, accepted_answers, conversion, kind_of
from paft.tasks.task import Task, slot_name
from paft.types import LETTERS, Example

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """A task's config with every key filled in.

    Attributes:
        fields: the column that fills each slot, by the slot's name.
    """

    name: str
    description: str
    fields: Mapping[str, str]
    choices: Choices | None
    target: str
    target_format: TargetFormat
    answer_format: AnswerFormat
    top_threshold: float
    scorer: Any

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
    column = _target_column(spec)
    train, test = (_examples(spec, column, _rows_of(config, split, spec.target)) for split in ("train", "test"))
    return _task(spec, column, train + test), train, test


def task_of_rows(rows: Iterable[dict[str, Any]], config: TaskConfig) -> tuple[Task, list[Example]]:
    """Return the task and the examples of rows in memory, such as those of a ``datasets.Dataset``."""
    spec = complete(config)
    column = _target_column(spec)
    examples = _examples(spec, column, rows_in_memory(rows))
    return _task(spec, column, examples), examples


def stored_rows(config: TaskConfig, source: Source) -> list[dict[str, Any]]:
    """Return the rows of a source so that JSON lines of them are read alike: class names are written out."""
    spec = complete(config)
    column, rows = _target_column(spec), read_rows(source)
    if column is None:
        return rows.rows
    return [
        row | {spec.target: _named(column, rows, row[spec.target], rows.place(i))} if spec.target in row else row
        for i, row in enumerate(rows.rows)
    ]


def unlabelled(config: TaskConfig, source: Source) -> tuple[Task, list[Example]]:
    """Return the task and the examples of rows whose right answers are not known, or not read.

    Raises:
        UserError: as :func:`load_task`.
    """
    spec, rows = complete(config), read_rows(source)
    if not rows.rows:
        raise UserError(f"{source}: no examples")
    places = [(row, rows.place(index)) for index, row in enumerate(rows.rows)]
    examples = [
        Example(str(index), _fields(spec, row, place), _options(spec, row, place))
        for index, (row, place) in enumerate(places)
    ]
    return replace(_task(spec, _target_column(spec), examples), target_reading=""), examples


def check_targets(
    task: Task, scorers: Sequence[Scorer], examples: Sequence[Example], source: Source | None
) -> None:
    """Refuse accepted answers that a scorer cannot use.

    Args:
        examples: all examples of ``source``; their ids are row numbers.

    Raises:
        UserError: names the first such answer with its row.
    """
    checkers = [(scorer.name, scorer) for scorer in scorers if isinstance(scorer, TargetChecker)]
    sound: set[str] = set()
    for example in examples if checkers else ():
        for target in task.targets(example):
            if target in sound:
                continue
            sound.add(target)
            for name, scorer in checkers:
                if problem := scorer.check_target(target):
                    where = place(source, int(example.id))
                    raise UserError(f"{where}: the accepted answer {target!r} {problem} (scorer {name})")


def complete(config: TaskConfig) -> Spec:
    """Fill what the config leaves out from the built-in task of its name, and check nothing is missing."""
    builtin = BUILTIN.get(config.name, config)

    def pick(key: str, default: Any = None) -> Any:
        values = [value for value in (getattr(config, key), getattr(builtin, key)) if value not in (None, "")]
        return values[0] if values else default

    for key in ("fields", "target"):
        if not pick(key):
            hint = nearest(config.name, BUILTIN)
            raise UserError(f"config key task.{key} is missing: {config.name!r} is not a built-in task{hint}")
    fields = _columns_of_slots(pick("fields"), pick("target"), pick("choices"))
    if config.train is not None and config.train == config.test:
        raise UserError(
            "config key task.test: the test examples are the training examples; name another file or split"
        )
    choices = pick("choices")
    how = _answer_format(pick("answer"), choices, pick("scorer"))
    if isinstance(choices, list):
        _check_labels(how, choices)
    return Spec(
        name=config.name,
        description=pick("description", ""),
        fields=fields,
        choices=choices,
        target=pick("target"),
        target_format=pick("target_format", "auto"),
        answer_format=how,
        top_threshold=pick("top_threshold", 0.85),
        scorer=pick("scorer"),
    )


def _columns_of_slots(fields: list[str] | dict[str, str], target: str, choices: Choices | None) -> dict[str, str]:
    columns = fields if isinstance(fields, dict) else {name: name for name in fields}
    options = choices.columns if isinstance(choices, OptionColumns) else []
    if len({slot_name(name) for name in fields}) < len(fields):
        raise UserError(f"config key task.fields: two of {', '.join(fields)} are the same slot; leave one out")
    for name, column in columns.items():
        if slot_name(name) in ("choices", *LETTERS) or not slot_name(name).isidentifier():
            raise UserError(
                f"config key task.fields: {name!r} cannot be a slot {{{name}}}; give the slot of a column another "
                f"name, {{message: {column}}}"
            )
        if slot_name(name) in map(slot_name, options):
            raise UserError(
                f"config key task.fields: {{{name}}} is the slot of an option; leave it out or rename the slot"
            )
        if column == target:
            raise UserError(f"config key task.fields: {column!r} is the target; the prompt would show the answer")
    return columns


def _check_labels(how: AnswerFormat, labels: list[str]) -> None:
    if how.max_options is not None and len(labels) > how.max_options:
        raise UserError(
            f"config key task.answer: {how.name} takes at most {how.max_options} options, found {len(labels)} "
            "labels; use label"
        )
    if len(set(labels)) < max(len(labels), 2):
        raise UserError("config key task.choices: at least two labels are needed, and none twice")
    if alike := _alike(how, labels):
        raise UserError(f"config key task.choices: {alike}; rename one")


def _alike(how: AnswerFormat, options: Sequence[str]) -> str:
    """Return which two options an answer that repeats one of them cannot tell apart; nothing for sound ones."""
    pair = how.alike(options)
    return f"an answer cannot tell {pair[0]!r} and {pair[1]!r} apart" if pair else ""


def _answer_format(name: str | None, choices: Choices | None, scorer: Any) -> AnswerFormat:
    """Return how an answer is written: by options if the task has them, else as the scorer wants it.

    Raises:
        UserError: the task has options and free text, or neither.
    """
    if choices is None:
        if name not in (None, "text"):
            raise UserError(
                f"config key task.choices is missing: task.answer is {name}; name the options, or leave out "
                "task.answer for free text"
            )
        return text_answers(scorer)
    if name == "text":
        raise UserError("config key task.answer: text is for a task without task.choices; use label")
    return get_answer_format(name or "label")


def subset(examples: list[T], size: int | None, seed: int) -> list[T]:
    """Return at most ``size`` examples, drawn with the seed and kept in their order."""
    if size is None or size >= len(examples):
        return examples
    chosen = random.Random(f"subset:{seed}").sample(range(len(examples)), size)
    return [examples[i] for i in sorted(chosen)]


def _task(spec: Spec, column: TargetColumn | None, examples: list[Example]) -> Task:
    counts = {len(example.options) for example in examples}
    letters = counts.pop() if len(counts) == 1 else 0
    aliases = {
        alias: slot
        for alias, slot in ALIASES.get(spec.name, {}).items()
        if alias not in spec.fields and (slot in spec.fields or slot in LETTERS)
    }
    if isinstance(spec.choices, OptionColumns):
        aliases.update(zip(map(slot_name, spec.choices.columns), LETTERS, strict=False))
    reading = column.describe() if column else f"{spec.target} is read as free text; {_answer_counts(examples)}"
    return Task(
        spec.name,
        tuple(spec.fields),
        spec.labels,
        spec.answer_format,
        spec.top_threshold,
        letters,
        aliases,
        spec.description,
        spec.scorer,
        reading if examples else "",
        answer_names=(spec.target,),
    )


def _answer_counts(examples: list[Example]) -> str:
    counts = sorted({len(example.targets) for example in examples}) or [0]
    if counts[-1] <= 1:
        lists = sum(_is_list_as_text(example.targets[0]) for example in examples if example.targets)
        note = (
            f"; {lists:,} written like a list are one text each (JSON lines and Parquet have lists)"
            if lists
            else ""
        )
        return f"one accepted answer each{note}"
    range_ = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else str(counts[0])
    return f"{range_} accepted answers each, of which the first is trained on"


def _is_list_as_text(text: str) -> bool:
    return re.fullmatch(r"""\[\s*(["'].*["'])?\s*\]""", text, re.DOTALL) is not None


def _target_column(spec: Spec) -> TargetColumn | None:
    return None if spec.choices is None else TargetColumn(spec.target, spec.target_format, spec.labels)


def _rows_of(config: TaskConfig, split: str, target: str) -> Rows:
    source = getattr(config, split)
    if source is None:
        return Rows(None, [])
    rows = read_rows(source)
    if not rows.rows:
        raise UserError(f"config key task.{split}: no examples in {source}")
    check_quotes(rows, target)
    return rows


def _examples(spec: Spec, column: TargetColumn | None, rows: Rows) -> list[Example]:
    return [_example(spec, column, rows, row, i) for i, row in enumerate(rows.rows)]


def _example(spec: Spec, column: TargetColumn | None, rows: Rows, row: dict[str, Any], index: int) -> Example:
    """Return the example of a row; its id is the row's number, counted from 0."""
    place = rows.place(index)
    options = _options(spec, row, place)
    value = _cell(row, spec.target, place)
    fields = _fields(spec, row, place)
    if column is None:
        return Example(str(index), fields, targets=accepted_answers(value, spec.target, place))
    return Example(str(index), fields, options, column.index(_named(column, rows, value, place), options, place))


def _fields(spec: Spec, row: dict[str, Any], place: str) -> dict[str, str]:
    fields = {name: _text(row, column, place) for name, column in spec.fields.items()}
    if not any(text.strip() for text in fields.values()):
        columns, verb = " and ".join(spec.fields.values()), "is" if len(fields) == 1 else "are"
        raise UserError(f"{place}: nothing is asked, {columns} {verb} empty; leave the row out")
    return fields


def _named(column: TargetColumn, rows: Rows, value: Any, place: str) -> Any:
    """Return the data set's own name of the class of a cell where it has names and they are what is read."""
    names = rows.class_names.get(column.column)
    return column.named(value, names, place) if names and column.uses_class_names else value


def _cell(row: dict[str, Any], column: str, place: str) -> Any:
    if column in row:
        return row[column]
    same = [name for name in row if unicodedata.normalize("NFKC", str(name)) == slot_name(column)]
    if len(same) != 1:
        raise UserError(f"{place}: no column {column!r}{nearest(column, row)}")
    return row[same[0]]


def _text(row: dict[str, Any], column: str, place: str) -> str:
    value = _cell(row, column, place)
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"{place}: column {column!r} holds no value (NaN)")
    text = None if isinstance(value, bool) else cell_text(value)
    if text is not None:
        return text
    raise UserError(f"{place}: column {column!r} holds {kind_of(value)}, expected text; {conversion(value)}")


def _options(spec: Spec, row: dict[str, Any], place: str) -> tuple[str, ...]:
    if spec.choices is None:
        return ()
    if isinstance(spec.choices, list):
        return tuple(spec.choices)
    fix = "fill it or leave the row out"
    if isinstance(spec.choices, OptionColumns):
        columns = spec.choices.columns
        options = ["" if _cell(row, name, place) is None else _text(row, name, place) for name in columns]
        fix += f"; a column of lists (JSON lines, Parquet) may hold 2 to {len(LETTERS)} options in each row"
    else:
        options = _listed_options(_cell(row, str(spec.choices), place), str(spec.choices), place)
    if not 2 <= len(options) <= len(LETTERS):
        raise UserError(f"{place}: {len(options)} options; a question has 2 to {len(LETTERS)}")
    if not all(option.strip() for option in options):
        raise UserError(f"{place}: an option is empty; {fix}")
    if alike := _alike(spec.answer_format, options):
        raise UserError(f"{place}: {alike}; take task.answer: letter, or leave the row out")
    return tuple(options)


def _listed_options(value: Any, column: str, place: str) -> list[str]:
    """Return the options that a cell lists.

    Raises:
        UserError: it is no list of texts or numbers.
    """
    problem = f"{place}: column {column!r} holds {kind_of(value)}, expected a list of texts"
    if isinstance(value, str):
        raise UserError(
            f"{problem}; a table such as CSV has no lists: write {{columns: [...]}}, a column for each option, or "
            "use JSON lines"
        )
    if isinstance(value, dict):
        keys = [repr(key) for key, part in value.items() if isinstance(part, list)]
        raise UserError(f"{problem}; give the list {' or '.join(keys) or 'of options'} a column of its own")
    if not isinstance(value, list):
        raise UserError(problem)
    texts = [None if isinstance(part, bool) else cell_text(part) for part in value]
    options = [text for text in texts if text is not None]
    if len(options) < len(texts):
        raise UserError(f"{problem}; one of them is {kind_of(value[texts.index(None)])}")
    return options
