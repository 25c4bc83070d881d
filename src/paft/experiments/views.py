"""From the folders of cells to the tables and figures of the paper, its own numbers beside them."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.evaluation.metrics import Interval, share_interval
from paft.evaluation.paired import Difference
from paft.experiments import paper
from paft.experiments.columns import (
    ACCURACIES,
    CELL,
    COUNTS,
    DIFFERENCES,
    INFERENCE,
    K_AND_T,
    ONE_WORD,
    OVER_ALL,
    TRAINING,
    Columns,
    Row,
    table,
)
from paft.experiments.one_word import RESULT, read_found
from paft.experiments.plan import Cell
from paft.reporting.read import MethodResult, RunResult, read_run
from paft.reporting.report import method_json

Runs = Sequence[tuple[Cell, RunResult]]


@dataclass
class ResultTable:
    """A table: its rows as values (accuracies are fractions of 1), and how to read them as text.

    Attributes:
        lines: what stands in the lines of the text for a row; mostly the row itself.
        differences: between every two methods of a task and seed, a row each.
        runs: the methods of each task and seed as one run, for the figures and the page.
        missing: folder of each cell that has no result, with the reason.
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
        """Return the whole view."""
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


def view(name: str, cells: Sequence[Cell], output: Path, failed: Mapping[str, str]) -> ResultTable:
    """Return what the finished cells of a table or figure say."""
    build, title, columns = RESULT_TABLES[name]
    shown = ResultTable(title, columns)
    done: list[tuple[Cell, Any]] = []
    for cell in cells:
        if cell.folder in failed:  # what lies in its folder may be of another config
            shown.missing[cell.folder] = failed[cell.folder]
            continue
        try:
            done.append((cell, _result(cell, output / cell.folder)))
        except (UserError, OSError, ValueError) as error:
            shown.missing[cell.folder] = str(error)
    if all(cell.work == "run" for cell in cells):
        shown.notes += _made_of(done)
    build(shown, done)
    return shown


def _result(cell: Cell, folder: Path) -> Any:
    if cell.work == "one-word":
        return read_found(folder / RESULT)
    if cell.work == "prompts":
        return json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    run = read_run(folder)
    if not run.methods:
        raise UserError(next(iter(run.problems), "not finished"))
    return run


# --- The rows ----------------------------------------------------------------------------------------------------


def _accuracies(shown: ResultTable, done: Runs) -> None:
    """Table 1 and figures 3 to 5: methods on the same prompts and examples, compared pair by pair."""
    for cell, method in _methods(done):
        shown.rows.append(_row(cell, method, paper=paper.TABLE_1.get((method.name, cell.task))))
        if method.choosing.get("rewrites") == 0:
            shown.notes.append(
                f"{cell.task}, seed {cell.seed}: the language model wrote no prompt that fits the task, so "
                f"{method.name} is trained on the user's prompt"
            )
    for (task, seed), runs in _grouped(done).items():
        run = _as_one(runs)
        shown.runs.append(run)
        shown.differences += [{"task": task, "seed": seed} | _pair(pair) for pair in run.differences]
    shown.notes += _over_seeds(shown.rows, {"mean": "mean", "std": "Std"})


def _inference(shown: ResultTable, done: Runs) -> None:
    """Table 2: seconds of answering, and the tokens written, which explain them."""
    for cell, method in _methods(done):
        shown.rows.append(_row(cell, method, paper_hours=_hours(paper.TABLE_2, cell, method)))
    if any(run.mode == "likelihood" for _, run in done):
        shown.notes.append("Answers by likelihood write no tokens; evaluation.mode=generate does.")
    shown.notes += _over_seeds(shown.rows, {"eval_seconds": "seconds"})


def _training(shown: ResultTable, done: Runs) -> None:
    """Table 6: seconds of training, and what choosing the prompt before it took."""
    shown.rows += [
        _row(
            cell,
            method,
            choosing=method.choosing,
            paper_hours=_hours(paper.TABLE_6, cell, method),
        )
        for cell, method in _methods(done)
    ]
    shown.notes += _over_seeds(shown.rows, {"train_seconds": "seconds"})


def _k_and_t(shown: ResultTable, done: Runs) -> None:
    """Table 3: the pair with the highest mean on the validation prompts is the one to take; ``best`` marks it."""
    for runs in _grouped(done).values():
        best = max(_methods(runs), key=lambda pair: pair[1].summary.mean)[0]
        for cell, method in _methods(runs):
            k, t = cell.config.training.K, cell.config.training.epochs
            reported = paper.TABLE_3.get((k, t, cell.task))
            shown.rows.append(_row(cell, method, K=k, T=t, best=cell is best, paper=reported))
    shown.notes.append(
        "On prompts and examples kept from training; no test prompt and no test example is asked. The paper's "
        "figures are on its test."
    )


def _counts(shown: ResultTable, done: Runs) -> None:
    """Figure 6: accuracy and its spread against the number of training prompts."""
    shown.rows += [_row(cell, method, training_prompts=int(cell.label)) for cell, method in _methods(done)]


def _one_word(shown: ResultTable, done: Sequence[tuple[Cell, Row]]) -> None:
    """Figure 1: the two prompts that lie farthest apart, a line each."""
    shown.lines = lambda row: [row | row["low"], row | row["high"]]
    for cell, found in done:
        for prompt in (found["low"], found["high"]):
            asked = found["test_examples"]
            prompt["test_accuracy_interval"] = _ends(share_interval(round(prompt["test_accuracy"] * asked), asked))
        shown.rows.append({"task": cell.task, "seed": cell.seed} | found)
        gap = (found["high"]["test_accuracy"] - found["low"]["test_accuracy"]) * 100
        shown.notes.append(
            f"{cell.task}, seed {cell.seed}: of {found['tried']} prompts a word apart, found on "
            f"{found['development_examples']} training examples; {gap:.1f} points apart on "
            f"{found['test_examples']} test examples (the paper's pair: 86.27 and 66.93 %)"
        )


def _stage_1(shown: ResultTable, done: Sequence[tuple[Cell, list]]) -> None:
    """Table 7: what stage 1 costs; head and cells come as text."""
    for cell, (header, rows) in done:
        shown.columns = shown.columns | {head: itemgetter(head) for head in header}
        shown.rows += [
            {"task": cell.task, "seed": cell.seed} | dict(zip(header, row, strict=True)) for row in rows
        ]
        if tokens := paper.TABLE_7.get(paper.data_set(cell.task)):
            shown.notes.append(f"{cell.task}: the paper's ten models took {tokens:,} tokens")


def _methods(done: Runs) -> Iterator[tuple[Cell, MethodResult]]:
    return ((cell, method) for cell, run in done for method in run.methods)


def _row(cell: Cell, method: MethodResult, **more: Any) -> Row:
    """Return a method's figures under the keys of ``report.json``, but for those of single prompts."""
    figures = {key: value for key, value in method_json(method).items() if key != "per_prompt"}
    return {"task": cell.task, "seed": cell.seed, "method": method.name} | figures | more


def _hours(table: Mapping[tuple[str, str], float], cell: Cell, method: MethodResult) -> float | None:
    return table.get((method.name, paper.data_set(cell.task)))


def _grouped(done: Runs) -> dict[tuple[str, int], list[tuple[Cell, RunResult]]]:
    groups: dict[tuple[str, int], list[tuple[Cell, RunResult]]] = {}
    for cell, run in done:
        groups.setdefault((cell.task, cell.seed), []).append((cell, run))
    return groups


def _as_one(runs: Runs) -> RunResult:
    """Return runs of single methods on the same grid as one run."""
    first = runs[0][1]
    methods = [method for _, method in _methods(runs)]
    config = first.config | {"methods": [method.name for method in methods]}
    texts: dict[str, Any] = {}
    for _, run in runs:
        texts |= run.train_prompts
    return replace(first, path=first.path.parent, config=config, methods=methods, train_prompts=texts)


def _pair(pair: Difference) -> Row:
    return {
        "methods": [pair.first, pair.second],
        "difference": pair.difference,
        "difference_interval": _ends(pair.interval),
        "p": pair.p,
        "differ": pair.differ,
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _made_of(done: Runs) -> list[str]:
    """Say what each task's runs are of, and where the data are fewer than the size or the config asks for."""
    notes = []
    for (task, seed), runs in _grouped(done).items():
        cell, run = runs[0]
        asked, summary = cell.config, run.methods[0].summary
        answers = "the options' likelihood" if run.mode == "likelihood" else "generation"
        parts = [f"{task}, seed {seed}: {run.model_in_words}"]
        if logs := [method.log for _, method in _methods(runs) if method.log]:
            trained = round(sum(row["examples"] for row in logs[0]) / asked.training.epochs)
            parts.append(
                f"trained on {_of(trained, asked.training.examples)} examples, {logs[0][-1]['step']} steps"
            )
        examples = _of(summary.examples, asked.evaluation.examples)
        parts.append(f"{summary.prompts} prompts x {examples} examples, answers by {answers}")
        notes.append("; ".join(parts))
    return notes


def _of(found: int, asked: int | None) -> str:
    return f"{found} (of {asked} asked for)" if asked is not None and found < asked else str(found)


def _over_seeds(rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return mean and standard deviation over seeds, where there are several; ``names``: of the columns."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["method"]), []).append(row)
    notes = []
    for (task, method), several in groups.items():
        said = []
        for key, name in names.items():
            unit = 1 if key.endswith("seconds") else 100
            values = [unit * row[key] for row in several if row[key] is not None]
            if len(values) > 1:
                said.append(f"{name} {statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        notes += [f"{task}, {method}, over {len(several)} seeds: {', '.join(said)}"] if said else []
    return notes


RESULT_TABLES: dict[str, tuple[Callable[[ResultTable, Any], None], str, Columns]] = {
    "table1": (_accuracies, "Table 1: accuracy on unseen prompts, %", ACCURACIES),
    "table2": (_inference, "Table 2: time of answering", INFERENCE),
    "table3": (_k_and_t, "Table 3: K and T, on validation prompts", K_AND_T),
    "table6": (_training, "Table 6: time of training", TRAINING),
    "table7": (_stage_1, "Table 7: cost of making prompts", CELL),
    "figure1": (_one_word, "Figure 1: two prompts one word apart", ONE_WORD),
    "figure3": (_accuracies, "Figure 3: base model and fixed prompt over all prompts", OVER_ALL),
    "figure4": (_accuracies, "Figure 4: distribution of accuracy over prompts", ACCURACIES),
    "figure5": (_accuracies, "Figure 5: distribution of accuracy over prompts", ACCURACIES),
    "figure6": (_counts, "Figure 6: number of training prompts", COUNTS),
}
"""What each table and figure is made by, its title and its columns."""
