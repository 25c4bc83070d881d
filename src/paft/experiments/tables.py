"""Build the paper's tables and figures from run directories, next to the paper's own numbers."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from paft.config.schema import NamedVariant
from paft.errors import UserError
from paft.evaluation.metrics import share_interval
from paft.evaluation.paired import Difference
from paft.experiments import paper
from paft.experiments.columns import (
    ACCURACIES,
    CELL,
    COUNTS,
    DIFFERENCES,
    FAILURES,
    GRADED,
    INFERENCE,
    K_AND_T,
    ONE_WORD,
    OVER_ALL,
    TRAINING,
    Columns,
    Row,
    table,
)
from paft.experiments.one_word import RESULT, read_result
from paft.experiments.plan import PlannedRun
from paft.reporting.read import read_run
from paft.reporting.report import method_json
from paft.reporting.results import MethodResult, RunResult
from paft.utils.console import counted

Runs = Sequence[tuple[PlannedRun, RunResult]]


@dataclass
class ResultTable:
    """A table: its rows as values (accuracies are fractions of 1), and how to format them as text.

    Attributes:
        lines: returns the lines of text for a row; by default, the row itself.
        columns: the columns of the text.
        differences: one row for each pair of methods of a task and seed.
        runs: the runs that the figures and the page show; empty if methods are not compared.
        missing: folder -> reason for each cell without a result.
    """

    title: str
    columns: Columns
    lines: Callable[[Row], Sequence[Row]] = lambda row: [row]
    rows: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[RunResult] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the table, differences, notes and missing cells as Markdown."""
        lines = [f"# {self.title}", ""]
        rows = [line for row in self.rows for line in self.lines(row)]
        lines += table(self.columns, rows) if rows else ["Nothing is finished yet."]
        if self.differences:
            lines += ["", "Do the methods differ?", "", *table(DIFFERENCES, self.differences)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        if self.missing:
            lines += ["", "Missing:", "", *(f"- {folder}: {why}" for folder, why in self.missing.items())]
        return "\n".join(lines) + "\n"


def make_table(name: str, runs: Sequence[PlannedRun], output: Path, failed: Mapping[str, str]) -> ResultTable:
    """Return a table or figure made from its finished cells.

    Args:
        failed: folder -> reason for each failed cell.
    """
    build, title, columns = RESULT_TABLES[name]
    table = ResultTable(title, columns)
    done: list[tuple[PlannedRun, Any]] = []
    for run in runs:
        try:
            result = _result(run, output / run.folder, failed)
        except (UserError, OSError, ValueError) as error:
            table.missing |= {cell.folder: failed.get(cell.folder, str(error)) for cell in run.cells}
            continue
        if isinstance(result, RunResult):
            finished = {method.name for method in result.methods}
            table.missing |= {
                cell.folder: failed.get(cell.folder) or result.unfinished.get(str(cell.method), "not finished")
                for cell in run.cells
                if cell.method not in finished
            }
            if not finished:
                continue
        done.append((run, result))
    if all(run.work == "run" for run in runs):
        table.notes += _run_notes(done)
    build(table, done)
    return table


def _result(run: PlannedRun, folder: Path, failed: Mapping[str, str]) -> Any:
    """Return the result of a planned run; for a run directory, only its planned methods that did not fail.

    Raises:
        UserError, OSError, ValueError: there is no result. After a failure, the folder may hold the result of
            another config, which is not read.
    """
    if run.work != "run" and run.folder in failed:
        raise UserError(failed[run.folder])
    if run.work == "one-word":
        return read_result(folder / RESULT)
    if run.work == "prompts":
        return json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    result = read_run(folder)
    failures = [cell.method for cell in run.cells if cell.folder in failed]
    methods = [m for m in result.methods if m.name in run.methods and m.name not in failures]
    return replace(result, methods=sorted(methods, key=lambda method: run.methods.index(method.name)))


# --- The rows ----------------------------------------------------------------------------------------------------


def _accuracies(table: ResultTable, done: Runs) -> None:
    """Table 1 and figures 3 to 5: pairwise comparison of methods on the same prompts and examples."""
    for run, method in _methods(done):
        table.rows.append(_row(run, method, paper=paper.TABLE_1.get((method.name, run.task))))
        if method.choosing.get("rewrites") == 0:
            table.notes.append(
                f"{run.task}, seed {run.seed}: the language model generated no prompt that fits the task, so "
                f"{method.name} is trained on the user prompt"
            )
    is_binary = all(result.is_binary for _, result in done)
    table.columns = _fitting(table.columns, table.rows, is_binary)
    for (task, seed), runs in _grouped(done).items():
        [(_, result)] = runs
        table.runs.append(result)
        table.differences += [{"task": task, "seed": seed} | _pair(pair) for pair in result.differences]
    table.notes += _over_seeds(table.rows, {"mean": "mean", "std": "Std"})


def _fitting(columns: Columns, rows: Sequence[Row], is_binary: bool) -> Columns:
    """Return the columns, with those of failures of format if there are any, and named for the kind of scores."""
    if any(row["unparsed"] or row["cut"] for row in rows):
        items, place = list(columns.items()), list(columns).index("Unparsed") + 1
        columns = dict(items[:place]) | FAILURES | dict(items[place:])
    if is_binary:
        return columns
    return {GRADED.get(header, header): cell for header, cell in columns.items()}


def _inference(table: ResultTable, done: Runs) -> None:
    """Table 2: seconds of inference, and the number of generated tokens, on which they depend."""
    for run, method in _methods(done):
        table.rows.append(_row(run, method, paper_hours=_hours(paper.TABLE_2, run, method)))
    if any(run.mode == "likelihood" for _, run in done):
        table.notes.append(
            "Evaluation by likelihood generates no tokens; use evaluation.mode=generate to generate answers."
        )
    table.notes += _over_seeds(table.rows, {"eval_seconds": "seconds"})


def _training(table: ResultTable, done: Runs) -> None:
    """Table 6: seconds of training, and the cost of choosing the prompt beforehand."""
    table.rows += [
        _row(
            run,
            method,
            choosing=method.choosing,
            paper_hours=_hours(paper.TABLE_6, run, method),
        )
        for run, method in _methods(done)
    ]
    table.notes += _over_seeds(table.rows, {"train_seconds": "seconds"})


def _k_and_t(table: ResultTable, done: Runs) -> None:
    """Table 3: all pairs of K and T; ``best`` marks the highest mean on the validation prompts."""
    for runs in _grouped(done).values():
        best = max(_methods(runs), key=lambda pair: pair[1].summary.mean)[1]
        for run, method in _methods(runs):
            k, t = _k_and_t_of(run, method.name)
            reported = paper.TABLE_3.get((k, t, run.task))
            table.rows.append(_row(run, method, K=k, T=t, best=method is best, paper=reported))
    table.notes.append(
        "Measured on prompts and examples held out from training, not on test prompts or test examples. The "
        "paper's numbers are on its test set."
    )


def _k_and_t_of(run: PlannedRun, method: str) -> tuple[int, int]:
    """Return K and T of a variant."""
    for entry in run.config.methods:
        if isinstance(entry, NamedVariant) and entry.name == method:
            return entry.training["K"], entry.training["epochs"]
    return run.config.training.K, run.config.training.epochs


def _counts(table: ResultTable, done: Runs) -> None:
    """Figure 6: mean and Std of the accuracy by number of training prompts."""
    table.rows += [_row(run, method, training_prompts=run.prompt_count) for run, method in _methods(done)]


def _one_word(table: ResultTable, done: Sequence[tuple[PlannedRun, Row]]) -> None:
    """Figure 1: the two prompts with the largest difference in accuracy, one line per prompt."""
    table.lines = lambda row: [row | row["low"], row | row["high"]]
    for run, result in done:
        for prompt in (result["low"], result["high"]):
            examples = result["test_examples"]
            right = round(prompt["test_accuracy"] * examples)
            prompt["test_accuracy_interval"] = share_interval(right, examples).ends
        table.rows.append({"task": run.task, "seed": run.seed} | result)
        gap = (result["high"]["test_accuracy"] - result["low"]["test_accuracy"]) * 100
        table.notes.append(
            f"{run.task}, seed {run.seed}: best pair of {result['tried']} prompts, searched on "
            f"{result['development_examples']} training examples; {gap:.1f} points difference on "
            f"{result['test_examples']} test examples (the paper's pair: 86.27 and 66.93 %)"
        )


def _stage_1(table: ResultTable, done: Sequence[tuple[PlannedRun, list]]) -> None:
    """Table 7: the cost of stage 1; header and cells are text."""
    for run, (header, rows) in done:
        table.columns = table.columns | {head: itemgetter(head) for head in header}
        table.rows += [{"task": run.task, "seed": run.seed} | dict(zip(header, row, strict=True)) for row in rows]
        if tokens := paper.TABLE_7.get(paper.data_set(run.task)):
            table.notes.append(f"{run.task}: the paper's ten models used {tokens:,} tokens")


def _methods(done: Runs) -> Iterator[tuple[PlannedRun, MethodResult]]:
    return ((planned, method) for planned, run in done for method in run.methods)


def _row(run: PlannedRun, method: MethodResult, **more: Any) -> Row:
    """Return a method's numbers with the keys of ``report.json``, without those per prompt."""
    figures = {key: value for key, value in method_json(method).items() if not key.startswith("per_prompt")}
    return {"task": run.task, "seed": run.seed, "method": method.name} | figures | more


def _hours(table: Mapping[tuple[str, str], float], run: PlannedRun, method: MethodResult) -> float | None:
    return table.get((method.name, paper.data_set(run.task)))


def _grouped(done: Runs) -> dict[tuple[str, int], list[tuple[PlannedRun, RunResult]]]:
    groups: dict[tuple[str, int], list[tuple[PlannedRun, RunResult]]] = {}
    for planned, run in done:
        groups.setdefault((planned.task, planned.seed), []).append((planned, run))
    return groups


def _pair(pair: Difference) -> Row:
    return {
        "methods": [pair.first, pair.second],
        "difference": pair.difference,
        "difference_interval": pair.interval.ends,
        "p": pair.p,
        "differ": pair.differ,
    }


def _run_notes(done: Runs) -> list[str]:
    """Return one note per task and seed: the model, and the sizes of training and evaluation.

    A note also shows where there are fewer examples than the preset or the config asks for.
    """
    notes = []
    for (task, seed), runs in _grouped(done).items():
        planned, run = runs[0]
        config, summary = planned.config, run.methods[0].summary
        answers = "the options' likelihood" if run.mode == "likelihood" else "generation"
        parts = [f"{task}, seed {seed}: {run.model_in_words}"]
        if logs := [method.log for _, method in _methods(runs) if method.log]:
            trained = round(sum(row["examples"] for row in logs[0]) / config.training.epochs)
            steps = counted(logs[0][-1]["step"], "steps")
            parts.append(f"trained on {_count(trained, config.training.examples)} examples, {steps}")
        examples = _count(summary.examples, config.evaluation.examples)
        parts.append(f"{counted(summary.prompts, 'prompts')} x {examples} examples, answers by {answers}")
        if run.methods[0].is_estimated:
            parts.append(f"estimated from {run.methods[0].answered_share} of the cells")
        notes.append("; ".join(parts))
    return notes


def _count(actual: int, requested: int | None) -> str:
    short = requested is not None and actual < requested
    return f"{actual} (asked for {requested})" if short else str(actual)


def _over_seeds(rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return one note per task and method with several seeds: mean ± standard deviation over seeds.

    Args:
        names: key of a row -> its name in the note.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["method"]), []).append(row)
    notes = []
    for (task, method), seeds in groups.items():
        parts = []
        for key, name in names.items():
            unit = 1 if key.endswith("seconds") else 100
            values = [unit * row[key] for row in seeds if row[key] is not None]
            if len(values) > 1:
                parts.append(f"{name} {statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        notes += [f"{task}, {method}, over {len(seeds)} seeds: {', '.join(parts)}"] if parts else []
    return notes


RESULT_TABLES: dict[str, tuple[Callable[[ResultTable, Any], None], str, Columns]] = {
    "table1": (_accuracies, "Table 1: accuracy on unseen prompts, %", ACCURACIES),
    "table2": (_inference, "Table 2: inference time", INFERENCE),
    "table3": (_k_and_t, "Table 3: K and T, on validation prompts", K_AND_T),
    "table6": (_training, "Table 6: training time", TRAINING),
    "table7": (_stage_1, "Table 7: cost of generating prompts", CELL),
    "figure1": (_one_word, "Figure 1: two prompts one word apart", ONE_WORD),
    "figure3": (_accuracies, "Figure 3: base model and fixed prompt over all prompts", OVER_ALL),
    "figure4": (_accuracies, "Figure 4: distribution of accuracy over prompts", ACCURACIES),
    "figure5": (_accuracies, "Figure 5: distribution of accuracy over prompts", ACCURACIES),
    "figure6": (_counts, "Figure 6: number of training prompts", COUNTS),
}
"""The name of each table and figure -> the function that builds it, its title and its columns."""
