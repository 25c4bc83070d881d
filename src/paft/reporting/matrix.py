"""Several models on several tasks: a row for each model and method, a column for each task."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from paft.evaluation.intervals import Interval
from paft.evaluation.metrics import Summary, summarise
from paft.reporting.formatting import bracket, points, shortest_ends
from paft.reporting.pairs import example_keys, has_texts, prompt_keys
from paft.reporting.results import MethodResult, RunResult
from paft.reporting.sentences import answers_by, estimated
from paft.reporting.tables import differ_in_seed, mean_and_std, run_names
from paft.utils.console import counted

FIGURES = {"mean": "Mean", "quantile_05": "5% quantile"}
"""The figures of a matrix: key of ``report.json`` -> title."""
MARK = "*"
"""Marks figures on a part of a run: the prompts and examples that all runs of the task have."""
LEAST_IN_COMMON = 0.5
"""The share of a run's cells that the runs of a task must have in common to be compared on them."""


@dataclass(frozen=True)
class MatrixEntry:
    """A method of a run in the matrix.

    Attributes:
        run: the run's name in the report.
        summary: over the prompts and examples that all methods of the column have; over all of its own, if none.
        is_part: whether it has other prompts or examples too, which ``summary`` leaves out.
    """

    run: str
    result: RunResult
    method: MethodResult
    summary: Summary
    is_part: bool = False


@dataclass(frozen=True)
class Matrix:
    """The entries by row and column, and what the reader must know of them.

    Attributes:
        entries: one, or one for each seed of runs that differ only in it.
    """

    rows: list[str]
    columns: list[str]
    entries: dict[tuple[str, str], list[MatrixEntry]]
    notes: list[str]

    def table(self, figure: str) -> list[tuple[str, ...]]:
        """Return header and rows of one figure, ``mean`` or ``quantile_05``, with its interval."""
        body = [
            (row, *(_cell(self.entries.get((row, column), []), figure) for column in self.columns))
            for row in self.rows
        ]
        return [("Model, method", *self.columns), *body]


def _cell(entries: Sequence[MatrixEntry], figure: str) -> str:
    """Return a figure with its interval; of several seeds, the mean ± the standard deviation over them."""
    if not entries:
        return ""
    values: list[float | None] = [getattr(entry.summary, figure) for entry in entries]
    mark = MARK if any(entry.is_part for entry in entries) else ""
    if len(entries) > 1:
        return f"{mean_and_std(values)}{mark}"
    interval: Interval | None = getattr(entries[0].summary, f"{figure}_interval")
    return f"{points(values[0])}{mark} {bracket(interval)}".strip()


def matrix_of(results: Sequence[RunResult]) -> Matrix | None:
    """Return the matrix of the runs; None for a single model on a single task."""
    finished = [(name, r) for name, r in zip(run_names(results), results, strict=True) if r.methods]
    if len({r.task for _, r in finished}) < 2 and len({r.model_in_words for _, r in finished}) < 2:
        return None
    columns = _columns([result for _, result in finished])
    rows = _rows([result for _, result in finished], columns)
    by_column, order = _placed(finished, columns, rows)
    entries: dict[tuple[str, str], list[MatrixEntry]] = {}
    notes = [f"{name}: {text}" for name, result in finished if (text := estimated(result))]
    for column, cells in by_column.items():
        notes += _over_seeds(column, list(cells.values()))
        for name, together in _compared_together(column, list(cells.values())):
            on_common_cells, lines = _on_what_all_have(name, together)
            by_id = {id(old): new for old, new in zip(together, on_common_cells, strict=True)}
            for row, cell in cells.items():
                cells[row] = [by_id.get(id(entry), entry) for entry in cell]
            notes += lines
        entries |= {(row, column): cell for row, cell in cells.items()}
    return Matrix(_by_model(order), list(by_column), entries, notes)


def unlike(results: Sequence[RunResult]) -> list[str]:
    """Return a note on each task whose runs have different questions, or answer them in different ways.

    For tables that show each run's own figures. Runs that differ only in the seed are meant to differ.
    """
    if matrix_of(results) or differ_in_seed(results):
        return []
    notes = []
    for task in dict.fromkeys(result.task for result in results):
        entries = [
            MatrixEntry(name, result, method, method.summary)
            for name, result in zip(run_names(results), results, strict=True)
            for method in result.methods
            if result.task == task
        ]
        if not entries:
            continue
        questions = _Questions(entries)
        notes += _ways_of_answering(task, entries)
        if questions.differ:
            notes.append(
                f"{task}: the runs have different prompts or examples (prompts x examples: {questions.sizes}), so "
                "their figures are not of the same questions."
            )
    return notes


def _placed(
    finished: Sequence[tuple[str, RunResult]], columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[dict[str, dict[str, list[MatrixEntry]]], list[str]]:
    """Return the entries by column and row, and the rows in the order of the runs, with repeats.

    Runs that would share a cell although they differ in more than the seed get rows of their own, ``ROW (RUN)``.

    Args:
        finished: the runs with their names.
        columns, rows: the column of each run, and the row of each of its methods.
    """
    by_column: dict[str, dict[str, list[MatrixEntry]]] = {column: {} for column in columns}
    order: list[str] = []
    for (name, result), column, labels in zip(finished, columns, rows, strict=True):
        cells = by_column[column]
        for method, label in zip(result.methods, labels, strict=True):
            seeds = [entry.result for entry in cells.get(label, [])]
            row = label
            if seeds and not differ_in_seed([*seeds, result]):
                row = f"{label} ({name})"
            cells.setdefault(row, []).append(MatrixEntry(name, result, method, method.summary))
            order.append(row)
    return by_column, order


def _over_seeds(column: str, cells: Sequence[Sequence[MatrixEntry]]) -> list[str]:
    """Return a note where cells of a column hold several seeds."""
    counts = sorted({len(cell) for cell in cells if len(cell) > 1})
    if not counts:
        return []
    seeds = " or ".join(map(str, counts))
    return [f"{column}: mean of {seeds} runs that differ only in the seed, ± their sample standard deviation."]


def _compared_together(column: str, cells: Sequence[Sequence[MatrixEntry]]) -> list[tuple[str, list[MatrixEntry]]]:
    """Return the entries of a column that should have the same prompts and examples, with a name for them.

    These are the runs of each seed, which may draw other prompts than another one; all runs, if the rows have
    different seeds.
    """
    seeds = [[entry.result.seed for entry in cell] for cell in cells]
    if len(seeds[0]) < 2 or any(sorted(cell) != sorted(seeds[0]) for cell in seeds):
        return [(column, [entry for cell in cells for entry in cell])]
    return [
        (f"{column}, seed {seed}", [entry for cell in cells for entry in cell if entry.result.seed == seed])
        for seed in sorted(seeds[0])
    ]


def _columns(results: Sequence[RunResult]) -> list[str]:
    """Return the column of each run: its task, and where not all are measured alike, by what."""
    metrics = {result.metric for result in results}
    return [result.task if len(metrics) < 2 else f"{result.task}, {result.metric}" for result in results]


def _rows(results: Sequence[RunResult], columns: Sequence[str]) -> list[list[str]]:
    """Return the row of each method of each run: model and method.

    Runs that differ only in the seed share a row. Where runs of one cell differ in the seed and in more, all rows
    have their seed.
    """
    models = list(dict.fromkeys(result.model for result in results))
    short = dict(zip(models, shortest_ends([PurePath(model) for model in models]), strict=True))
    rows: list[list[str]] = []
    of_cells: dict[tuple[str, str], list[RunResult]] = {}
    for result, column in zip(results, columns, strict=True):
        model = short[result.model] + result.model_in_words.removeprefix(result.model)
        rows.append([f"{model}, {method.name}" for method in result.methods])
        for row in rows[-1]:
            of_cells.setdefault((row, column), []).append(result)
    if all(len({result.seed for result in runs}) == 1 or differ_in_seed(runs) for runs in of_cells.values()):
        return rows
    return [[f"{row}, seed {result.seed}" for row in own] for own, result in zip(rows, results, strict=True)]


def _by_model(rows: Sequence[str]) -> list[str]:
    """Return the rows, each once, those of a model together."""
    models = list(dict.fromkeys(row.partition(", ")[0] for row in rows))
    return sorted(dict.fromkeys(rows), key=lambda row: models.index(row.partition(", ")[0]))


def _on_what_all_have(column: str, entries: Sequence[MatrixEntry]) -> tuple[list[MatrixEntry], list[str]]:
    """Return the entries of a task on the prompts and examples that all of them have, and notes on it."""
    notes = _ways_of_answering(column, entries)
    questions = _Questions(entries)
    if not questions.differ:
        return list(entries), notes
    prompts, examples, sizes = questions.prompts, questions.examples, questions.sizes
    common_prompts = set(prompts[0]).intersection(*prompts[1:])
    common_examples = set(examples[0]).intersection(*examples[1:])
    part = f"{counted(len(common_prompts), 'prompts')} x {counted(len(common_examples), 'examples')}"
    largest = max(len(p) * len(x) for p, x in zip(prompts, examples, strict=True))
    if not common_prompts or not common_examples:
        what = "test example" if common_prompts else "test prompt"
        obstacle = f"not to be compared, for the runs have no {what} in common ({sizes})."
    elif any(entry.method.is_estimated for entry in entries):
        obstacle = (
            f"not to be compared, for the runs have different prompts or examples ({sizes}), and a figure that is "
            "estimated from some cells holds for all of its own."
        )
    elif len(common_prompts) * len(common_examples) < LEAST_IN_COMMON * largest:
        obstacle = (
            f"each run has its own prompts or examples ({sizes}), and the {part} that all have are too few to "
            "compare them on. Measure with the same prompts.test, task.test and seed for that."
        )
    else:
        matched = ", matched by their ids" if questions.by_id else ""
        notes.append(
            f"{column}: the runs have different prompts or examples (prompts x examples: {sizes}). {MARK}: on the "
            f"{part} that all have{matched}."
        )
        return [
            _part(entry, [p in common_prompts for p in own_prompts], [x in common_examples for x in own_examples])
            for entry, own_prompts, own_examples in zip(entries, prompts, examples, strict=True)
        ], notes
    return list(entries), [*notes, f"{column}: {obstacle}"]


class _Questions:
    """The prompts and examples of entries.

    Attributes:
        by_id: whether examples are matched by their ids, since a run lacks their texts.
        prompts, examples: of each entry, in its order; equal ones ask the same.
    """

    def __init__(self, entries: Sequence[MatrixEntry]):
        self.by_id = not all(has_texts(entry.result, entry.method) for entry in entries)
        self.prompts = [prompt_keys(entry.result, entry.method) for entry in entries]
        self.examples = [example_keys(entry.result, entry.method, by_id=self.by_id) for entry in entries]
        self._runs = [entry.run for entry in entries]

    @property
    def differ(self) -> bool:
        """Whether an entry has other prompts or examples than the first, in whatever order."""
        return any(
            Counter(own) != Counter(all_own[0]) for all_own in (self.prompts, self.examples) for own in all_own
        )

    @property
    def sizes(self) -> str:
        """The number of prompts x examples of each run."""
        sizes = zip(self._runs, self.prompts, self.examples, strict=True)
        shapes = {run: f"{len(prompts)} x {len(examples)}" for run, prompts, examples in sizes}
        return ", ".join(f"{run} {shape}" for run, shape in shapes.items())


def _ways_of_answering(column: str, entries: Sequence[MatrixEntry]) -> list[str]:
    """Return a note if the runs obtain answers in different ways."""
    modes = Counter(answers_by(entry.result) for entry in entries)
    return [f"{column}: answers by {' in some runs, by '.join(modes)} in others."] if len(modes) > 1 else []


def _part(entry: MatrixEntry, prompts: list[bool], examples: list[bool]) -> MatrixEntry:
    """Return an entry on a part of its prompts and examples."""
    if all(prompts) and all(examples):
        return entry
    result, grid = entry.result, entry.method.grid
    cells = np.ix_(prompts, examples)
    summary = summarise(grid.scores[cells], result.top, is_binary=result.is_binary, answers=grid.answers[cells])
    return MatrixEntry(entry.run, result, entry.method, summary, is_part=True)
