"""From the folders of cells to the tables and figures of the paper, its own numbers beside them."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.experiments import paper
from paft.experiments.one_word import RESULT
from paft.experiments.plan import Cell
from paft.reporting.read import MethodResult, RunResult, read_run
from paft.reporting.report import finite, markdown_table
from paft.reporting.tables import bracket

Rows = list[dict[str, Any]]


@dataclass
class View:
    """A table: its rows as values (accuracies are fractions of 1), and as cells of text for reading.

    Attributes:
        runs: the methods of each task and seed as one run, for the figures and the page.
        missing: folder of each cell that has no result, with the reason.
    """

    title: str
    header: tuple[str, ...]
    rows: Rows = field(default_factory=list)
    text: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[RunResult] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the whole view."""
        lines = [f"# {self.title}", ""]
        lines += markdown_table(self.header, self.text) if self.text else ["Nothing is finished yet."]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        if self.missing:
            lines += ["", "Missing:", "", *(f"- {folder}: {why}" for folder, why in self.missing.items())]
        return "\n".join(lines) + "\n"


def view(name: str, cells: Sequence[Cell], output: Path, failed: Mapping[str, str]) -> View:
    """Return what the finished cells of a table or figure say."""
    build, title, header = VIEWS[name]
    shown = View(title, header)
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


def _accuracies(shown: View, done: Sequence[tuple[Cell, RunResult]]) -> None:
    """Table 1 and figures 3 to 5: methods on the same prompts and examples, compared pair by pair."""
    for (task, seed), runs in _grouped(done).items():
        run = _as_one(runs)
        shown.runs.append(run)
        for method in run.methods:
            s = method.summary
            reported = paper.TABLE_1.get((method.name, task))
            shown.rows.append(_row(task, seed, method) | {"paper": reported})
            shown.text.append(
                (
                    task,
                    str(seed),
                    method.name,
                    f"{s.mean * 100:.1f} {bracket(s.mean_interval)}",
                    f"{s.std * 100:.1f} {bracket(s.std_interval)}",
                    f"{s.top * 100:.0f}",
                    f"{s.worst * 100:.1f}",
                    f"{s.unparsed / (s.prompts * s.examples):.0%}",
                    f"{disagreement(method) * 100:.0f}",
                    "-" if reported is None else f"{reported[0]} ± {reported[1]}, top {reported[2]:.0f}",
                )
            )
        for d in run.differences:
            if "paft" in (d.first, d.second):
                sign = 1 if d.second == "paft" else -1
                low, high = sorted((sign * d.interval.low * 100, sign * d.interval.high * 100))
                other = d.first if d.second == "paft" else d.second
                verdict = "differ" if d.differ else "do not differ beyond chance"
                shown.notes.append(
                    f"{task}, seed {seed}: paft less {other} is {sign * d.difference * 100:+.1f} points "
                    f"[{low:.1f}, {high:.1f}], p = {d.p:.2g} (Wilcoxon over prompts, Holm): they {verdict}"
                )
    _over_seeds(shown)


def _inference(shown: View, done: Sequence[tuple[Cell, RunResult]]) -> None:
    """Table 2: seconds of answering, and the tokens written, which explain them."""
    for cell, run in done:
        for method in run.methods:
            s, grid = method.summary, method.grid
            questions = s.prompts * s.examples
            hours = paper.TABLE_2.get((method.name, paper.data_set(cell.task)))
            shown.rows.append(_row(cell.task, cell.seed, method) | {"paper_hours": hours})
            shown.text.append(
                (
                    cell.task,
                    str(cell.seed),
                    method.name,
                    f"{grid.seconds:.0f}",
                    f"{questions / grid.seconds:.1f}" if grid.seconds else "-",
                    f"{grid.generated_tokens / questions:.1f}",
                    "-" if hours is None else f"{hours}",
                )
            )
    if any(run.answers == "likelihood" for _, run in done):
        shown.notes.append("Answers by likelihood write no tokens; evaluation.answers=generate does.")


def _training(shown: View, done: Sequence[tuple[Cell, RunResult]]) -> None:
    """Table 6: seconds of training, and of choosing the prompt before it."""
    for cell, run in done:
        for method in run.methods:
            if method.train_seconds is None:
                continue
            hours = paper.TABLE_6.get((method.name, paper.data_set(cell.task)))
            choosing = method.choosing.get("seconds")
            row = _row(cell.task, cell.seed, method) | {"choosing_seconds": choosing, "paper_hours": hours}
            shown.rows.append(row)
            shown.text.append(
                (
                    cell.task,
                    str(cell.seed),
                    method.name,
                    f"{method.train_seconds:.0f}",
                    f"{method.train_examples_per_second:.1f}",
                    "-" if choosing is None else f"{choosing:.0f}",
                    "-" if hours is None else f"{hours}",
                )
            )


def _k_and_t(shown: View, done: Sequence[tuple[Cell, RunResult]]) -> None:
    """Table 3: the pair with the highest mean on the validation prompts is the one to take."""
    for (task, seed), runs in _grouped(done).items():
        best = max(runs, key=lambda pair: pair[1].methods[0].summary.mean)[0]
        for cell, run in runs:
            training = cell.config.training
            s = run.methods[0].summary
            reported = paper.TABLE_3.get((training.K, training.epochs, task))
            row = {"K": training.K, "T": training.epochs, "best": cell is best, "paper": reported}
            shown.rows.append(_row(task, seed, run.methods[0]) | row)
            shown.text.append(
                (
                    task,
                    str(seed),
                    str(training.K),
                    str(training.epochs),
                    f"{s.mean * 100:.1f} {bracket(s.mean_interval)}{' (best)' * (cell is best)}",
                    f"{s.std * 100:.1f} {bracket(s.std_interval)}",
                    "-" if reported is None else f"{reported[0]} ± {reported[1]}",
                )
            )
    shown.notes.append("On prompts and examples kept from training; those of the test are not read.")


def _counts(shown: View, done: Sequence[tuple[Cell, RunResult]]) -> None:
    """Figure 6: accuracy and its spread against the number of training prompts."""
    for cell, run in done:
        s = run.methods[0].summary
        shown.rows.append(_row(cell.task, cell.seed, run.methods[0]) | {"training_prompts": int(cell.label)})
        shown.text.append(
            (
                cell.task,
                str(cell.seed),
                cell.label,
                f"{s.mean * 100:.1f} {bracket(s.mean_interval)}",
                f"{s.std * 100:.1f} {bracket(s.std_interval)}",
                f"{s.worst * 100:.1f}",
            )
        )


def _one_word(shown: View, done: Sequence[tuple[Cell, dict[str, Any]]]) -> None:
    """Figure 1: the two prompts that lie farthest apart."""
    for cell, found in done:
        shown.rows.append({"task": cell.task, "seed": cell.seed} | found)
        for end in ("low", "high"):
            row = found[end]
            shown.text.append(
                (
                    cell.task,
                    str(cell.seed),
                    f"{row['test_accuracy'] * 100:.1f}",
                    f"{row['development_accuracy'] * 100:.1f}",
                    " / ".join(row["text"].split("\n")).replace("|", "\\|"),
                )
            )
        gap = (found["high"]["test_accuracy"] - found["low"]["test_accuracy"]) * 100
        shown.notes.append(
            f"{cell.task}, seed {cell.seed}: of {found['tried']} prompts a word apart, found on "
            f"{found['development_examples']} training examples; {gap:.1f} points apart on "
            f"{found['test_examples']} test examples (the paper's pair: 86.27 and 66.93 %)"
        )


def _stage_1(shown: View, done: Sequence[tuple[Cell, list]]) -> None:
    """Table 7: what stage 1 costs."""
    for cell, (header, rows) in done:
        shown.header = ("Task", *header)
        shown.rows += [{"task": cell.task} | dict(zip(header, row, strict=True)) for row in rows]
        shown.text += [(cell.task, *row) for row in rows]
        if tokens := paper.TABLE_7.get(paper.data_set(cell.task)):
            shown.notes.append(f"{cell.task}: the paper's ten models took {tokens:,} tokens")


def disagreement(method: MethodResult) -> float:
    """Return how often two prompts differ on an example in being right: a share of all pairs of prompts."""
    right = method.grid.right.sum(axis=0)
    prompts = len(method.prompt_ids)
    pairs = prompts * (prompts - 1) / 2
    return float((right * (prompts - right)).mean() / pairs) if pairs else 0.0


def _row(task: str, seed: int, method: MethodResult) -> dict[str, Any]:
    s = method.summary
    return {
        "task": task,
        "seed": seed,
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
    }


def _grouped(done: Sequence[tuple[Cell, RunResult]]) -> dict[tuple[str, int], list[tuple[Cell, RunResult]]]:
    groups: dict[tuple[str, int], list[tuple[Cell, RunResult]]] = {}
    for cell, run in done:
        groups.setdefault((cell.task, cell.seed), []).append((cell, run))
    return groups


def _as_one(runs: Sequence[tuple[Cell, RunResult]]) -> RunResult:
    """Return runs of single methods on the same grid as one run."""
    first = runs[0][1]
    methods = [method for _, run in runs for method in run.methods]
    config = first.config | {"methods": [method.name for method in methods]}
    texts: dict[str, Any] = {}
    for _, run in runs:
        texts |= run.train_prompts
    return replace(first, path=first.path.parent, config=config, methods=methods, train_prompts=texts)


def _over_seeds(shown: View) -> None:
    """Note mean and standard deviation over seeds, where there are several."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in shown.rows:
        groups.setdefault((row["task"], row["method"]), []).append(100 * row["mean"])
    for (task, method), means in groups.items():
        if len(means) > 1:
            shown.notes.append(
                f"{task}, {method}: {statistics.mean(means):.1f} ± {statistics.stdev(means):.1f} "
                f"over {len(means)} seeds"
            )


_ACCURACY = ("Task", "Seed", "Method", "Mean", "Std", "Top", "Worst", "Unparsed", "Disagree", "Paper")
Builder = Callable[[View, Any], None]
VIEWS: dict[str, tuple[Builder, str, tuple[str, ...]]] = {
    "table1": (_accuracies, "Table 1: accuracy on unseen prompts, %", _ACCURACY),
    "table2": (
        _inference,
        "Table 2: time of answering",
        ("Task", "Seed", "Method", "Seconds", "Questions/s", "Tokens an answer", "Paper, hours"),
    ),
    "table3": (
        _k_and_t,
        "Table 3: K and T, on validation prompts",
        ("Task", "Seed", "K", "T", "Mean", "Std", "Paper"),
    ),
    "table6": (
        _training,
        "Table 6: time of training",
        ("Task", "Seed", "Method", "Seconds", "Examples/s", "Choosing, s", "Paper, hours"),
    ),
    "table7": (_stage_1, "Table 7: cost of making prompts", ("Task",)),
    "figure1": (
        _one_word,
        "Figure 1: two prompts one word apart",
        ("Task", "Seed", "Test accuracy", "While searching", "Prompt"),
    ),
    "figure3": (_accuracies, "Figure 3: base model and fixed prompt over all prompts", _ACCURACY),
    "figure4": (_accuracies, "Figure 4: distribution of accuracy over prompts", _ACCURACY),
    "figure5": (_accuracies, "Figure 5: distribution of accuracy over prompts", _ACCURACY),
    "figure6": (
        _counts,
        "Figure 6: number of training prompts",
        ("Task", "Seed", "Training prompts", "Mean", "Std", "Worst"),
    ),
}
"""What each table and figure is made by, its title and its columns."""
