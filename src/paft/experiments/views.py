"""From the folders of cells to the tables and figures of the paper, its own numbers beside them."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.evaluation.metrics import Interval
from paft.evaluation.paired import Difference
from paft.experiments import paper
from paft.experiments.one_word import RESULT
from paft.experiments.plan import Cell
from paft.reporting.read import MethodResult, RunResult, read_run
from paft.reporting.report import finite, markdown_table
from paft.reporting.tables import bracket

Row = dict[str, Any]
Text = Callable[[Row], str]
Columns = dict[str, Text]
"""The columns of a table: the head of each, and what it says of a row."""
Runs = Sequence[tuple[Cell, RunResult]]


@dataclass
class View:
    """A table: its rows as values (accuracies are fractions of 1), and how to read them as text.

    Attributes:
        lines: what stands in the lines of the text for a row; mostly the row itself.
        runs: the methods of each task and seed as one run, for the figures and the page.
        missing: folder of each cell that has no result, with the reason.
    """

    title: str
    columns: Columns
    lines: Callable[[Row], Sequence[Row]] = lambda row: [row]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[RunResult] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the whole view."""
        lines = [f"# {self.title}", ""]
        text = [[say(line) for say in self.columns.values()] for row in self.rows for line in self.lines(row)]
        lines += markdown_table(list(self.columns), text) if text else ["Nothing is finished yet."]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        if self.missing:
            lines += ["", "Missing:", "", *(f"- {folder}: {why}" for folder, why in self.missing.items())]
        return "\n".join(lines) + "\n"


def view(name: str, cells: Sequence[Cell], output: Path, failed: Mapping[str, str]) -> View:
    """Return what the finished cells of a table or figure say."""
    build, title, columns = VIEWS[name]
    shown = View(title, columns)
    done: list[tuple[Cell, Any]] = []
    for cell in cells:
        if cell.folder in failed:  # what lies in its folder may be of another config
            shown.missing[cell.folder] = failed[cell.folder]
            continue
        try:
            done.append((cell, _result(cell, output / cell.folder)))
        except (UserError, OSError, ValueError) as error:
            shown.missing[cell.folder] = str(error)
    build(shown, done)
    return shown


def _result(cell: Cell, folder: Path) -> Any:
    if cell.work == "one-word":
        return json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if cell.work == "prompts":
        return json.loads((folder / "costs.json").read_text(encoding="utf-8"))
    run = read_run(folder)
    if not run.methods:
        raise UserError(next(iter(run.problems), "not finished"))
    return run


# --- The rows ----------------------------------------------------------------------------------------------------


def _accuracies(shown: View, done: Runs) -> None:
    """Table 1 and figures 3 to 5: methods on the same prompts and examples, compared pair by pair."""
    for cell, method in _methods(done):
        shown.rows.append(_row(cell, method, paper=paper.TABLE_1.get((method.name, cell.task))))
    for (task, seed), runs in _grouped(done).items():
        run = _as_one(runs)
        shown.runs.append(run)
        pairs = [pair for pair in run.differences if "paft" in (pair.first, pair.second)]
        shown.notes += [f"{task}, seed {seed}: {_against_paft(pair)}" for pair in pairs]
    shown.notes += _over_seeds(shown.rows)


def _inference(shown: View, done: Runs) -> None:
    """Table 2: seconds of answering, and the tokens written, which explain them."""
    for cell, method in _methods(done):
        shown.rows.append(_row(cell, method, paper_hours=_hours(paper.TABLE_2, cell, method)))
    if any(run.answers == "likelihood" for _, run in done):
        shown.notes.append("Answers by likelihood write no tokens; evaluation.answers=generate does.")


def _training(shown: View, done: Runs) -> None:
    """Table 6: seconds of training, and of choosing the prompt before it."""
    shown.rows += [
        _row(
            cell,
            method,
            train_examples_per_second=method.train_examples_per_second,
            choosing_seconds=method.choosing.get("seconds"),
            paper_hours=_hours(paper.TABLE_6, cell, method),
        )
        for cell, method in _methods(done)
        if method.train_seconds is not None
    ]


def _k_and_t(shown: View, done: Runs) -> None:
    """Table 3: the pair with the highest mean on the validation prompts is the one to take; ``best`` marks it."""
    for runs in _grouped(done).values():
        best = max(_methods(runs), key=lambda pair: pair[1].summary.mean)[0]
        for cell, method in _methods(runs):
            k, t = cell.config.training.K, cell.config.training.epochs
            reported = paper.TABLE_3.get((k, t, cell.task))
            shown.rows.append(_row(cell, method, K=k, T=t, best=cell is best, paper=reported))
    shown.notes.append("On prompts and examples kept from training; those of the test are not read.")


def _counts(shown: View, done: Runs) -> None:
    """Figure 6: accuracy and its spread against the number of training prompts."""
    shown.rows += [_row(cell, method, training_prompts=int(cell.label)) for cell, method in _methods(done)]


def _one_word(shown: View, done: Sequence[tuple[Cell, Row]]) -> None:
    """Figure 1: the two prompts that lie farthest apart, a line each."""
    shown.lines = lambda row: [row | row["low"], row | row["high"]]
    for cell, found in done:
        shown.rows.append({"task": cell.task, "seed": cell.seed} | found)
        gap = (found["high"]["test_accuracy"] - found["low"]["test_accuracy"]) * 100
        shown.notes.append(
            f"{cell.task}, seed {cell.seed}: of {found['tried']} prompts a word apart, found on "
            f"{found['development_examples']} training examples; {gap:.1f} points apart on "
            f"{found['test_examples']} test examples (the paper's pair: 86.27 and 66.93 %)"
        )


def _stage_1(shown: View, done: Sequence[tuple[Cell, list]]) -> None:
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
    s = method.summary
    return {
        "task": cell.task,
        "seed": cell.seed,
        "method": method.name,
        "mean": s.mean,
        "mean_interval": [s.mean_interval.low, s.mean_interval.high],
        "std": s.std,
        "std_interval": [s.std_interval.low, s.std_interval.high],
        "top": s.top,
        "worst": s.worst,
        "best": s.best,
        "unparsed": s.unparsed,
        "disagreement": disagreement(method),
        "prompts": s.prompts,
        "examples": s.examples,
        "train_seconds": method.train_seconds,
        "eval_seconds": finite(method.grid.seconds),
        "generated_tokens": method.grid.generated_tokens,
    } | more


def disagreement(method: MethodResult) -> float:
    """Return how often two prompts differ on an example in being right: a share of all pairs of prompts."""
    right = method.grid.right.sum(axis=0)
    prompts = len(method.prompt_ids)
    pairs = prompts * (prompts - 1) / 2
    return float((right * (prompts - right)).mean() / pairs) if pairs else 0.0


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


def _against_paft(pair: Difference) -> str:
    """Say how far PAFT lies from the other method of a pair, and whether that is more than chance."""
    sign, other = (1, pair.first) if pair.second == "paft" else (-1, pair.second)
    low, high = sorted((sign * pair.interval.low * 100 + 0.0, sign * pair.interval.high * 100 + 0.0))  # no -0.0
    verdict = "differ" if pair.differ else "do not differ beyond chance"
    return (
        f"paft less {other} is {sign * pair.difference * 100 + 0.0:+.1f} points "
        f"[{low:.1f}, {high:.1f}], p = {pair.p:.2g} (Wilcoxon over prompts, Holm): they {verdict}"
    )


def _over_seeds(rows: Sequence[Row]) -> list[str]:
    """Return mean and standard deviation over seeds, where there are several."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["method"]), []).append(100 * row["mean"])
    return [
        f"{task}, {method}: {statistics.mean(means):.1f} ± {statistics.stdev(means):.1f} over {len(means)} seeds"
        for (task, method), means in groups.items()
        if len(means) > 1
    ]


# --- The columns -------------------------------------------------------------------------------------------------


def _number(key: str, spec: str = "") -> Text:
    return lambda row: "-" if row[key] is None else format(row[key], spec)


def _points(key: str, digits: int = 1) -> Text:
    return lambda row: f"{row[key] * 100:.{digits}f}"


def _with_interval(key: str) -> Text:
    return lambda row: f"{row[key] * 100:.1f} {bracket(Interval(*row[f'{key}_interval']))}"


def _paper(form: str) -> Text:
    return lambda row: "-" if row["paper"] is None else form.format(*row["paper"])


def _questions(row: Row) -> int:
    return row["prompts"] * row["examples"]


_CELL: Columns = {"Task": itemgetter("task"), "Seed": _number("seed")}
_METHOD: Columns = _CELL | {"Method": itemgetter("method")}
_ACCURACY: Columns = {"Mean": _with_interval("mean"), "Std": _with_interval("std")}

_ACCURACIES: Columns = {
    **_METHOD,
    **_ACCURACY,
    "Top": _points("top", 0),
    "Worst": _points("worst"),
    "Unparsed": lambda row: f"{row['unparsed'] / _questions(row):.0%}",
    "Disagree": _points("disagreement", 0),
    "Paper": _paper("{} ± {}, top {:.0f}"),
}
_INFERENCE: Columns = {
    **_METHOD,
    "Seconds": _number("eval_seconds", ".0f"),
    "Questions/s": lambda row: f"{_questions(row) / row['eval_seconds']:.1f}" if row["eval_seconds"] else "-",
    "Tokens an answer": lambda row: f"{row['generated_tokens'] / _questions(row):.1f}",
    "Paper, hours": _number("paper_hours"),
}
_K_AND_T: Columns = {
    **_CELL,
    "K": _number("K"),
    "T": _number("T"),
    "Mean": lambda row: _ACCURACY["Mean"](row) + " (best)" * row["best"],
    "Std": _ACCURACY["Std"],
    "Paper": _paper("{} ± {}"),
}
_TRAINING: Columns = {
    **_METHOD,
    "Seconds": _number("train_seconds", ".0f"),
    "Examples/s": _number("train_examples_per_second", ".1f"),
    "Choosing, s": _number("choosing_seconds", ".0f"),
    "Paper, hours": _number("paper_hours"),
}
_ONE_WORD: Columns = {
    **_CELL,
    "Test accuracy": _points("test_accuracy"),
    "While searching": _points("development_accuracy"),
    "Prompt": lambda row: row["text"].replace("\n", " / ").replace("|", "\\|"),
}
_COUNTS: Columns = {
    **_CELL,
    "Training prompts": _number("training_prompts"),
    **_ACCURACY,
    "Worst": _points("worst"),
}

VIEWS: dict[str, tuple[Callable[[View, Any], None], str, Columns]] = {
    "table1": (_accuracies, "Table 1: accuracy on unseen prompts, %", _ACCURACIES),
    "table2": (_inference, "Table 2: time of answering", _INFERENCE),
    "table3": (_k_and_t, "Table 3: K and T, on validation prompts", _K_AND_T),
    "table6": (_training, "Table 6: time of training", _TRAINING),
    "table7": (_stage_1, "Table 7: cost of making prompts", _CELL),
    "figure1": (_one_word, "Figure 1: two prompts one word apart", _ONE_WORD),
    "figure3": (_accuracies, "Figure 3: base model and fixed prompt over all prompts", _ACCURACIES),
    "figure4": (_accuracies, "Figure 4: distribution of accuracy over prompts", _ACCURACIES),
    "figure5": (_accuracies, "Figure 5: distribution of accuracy over prompts", _ACCURACIES),
    "figure6": (_counts, "Figure 6: number of training prompts", _COUNTS),
}
"""What each table and figure is made by, its title and its columns."""
