"""The columns of the paper's tables: how each formats a row, whose accuracies are fractions of 1."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from paft.evaluation.metrics import Interval
from paft.reporting.formatting import bracket, markdown_table, points

Row = dict[str, Any]
Text = Callable[[Row], str]
Columns = dict[str, Text]
"""The header of each column -> the function that formats its cell of a row."""


def table(columns: Columns, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a Markdown table."""
    return markdown_table(list(columns), [[cell(row) for cell in columns.values()] for row in rows])


def _number(key: str, spec: str = "") -> Text:
    return lambda row: "-" if row[key] is None else format(row[key], spec)


def _points(key: str, digits: int = 1) -> Text:
    return lambda row: points(row[key], digits)


def _with_interval(key: str, digits: int = 1) -> Text:
    def text(row: Row) -> str:
        ends = row[f"{key}_interval"]
        text = f"{points(row[key], digits)} {bracket(ends and Interval(*ends), digits)}".rstrip()
        return text + " (estimated)" * (row.get("cells", {}).get("estimated", False) and row[key] is not None)

    return text


def _paper(form: str) -> Text:
    return lambda row: "-" if row["paper"] is None else form.format(*row["paper"])


def _spent(*keys: str) -> Text:
    """Return the formatter of a baseline's search cost; `-` for a method that does not search for a prompt."""

    def text(row: Row) -> str:
        total = sum(row["choosing"].get(key, 0) for key in keys)
        return f"{total:,.0f}" if total else "-"

    return text


def _questions(row: Row) -> int:
    answered: int = row["cells"]["answered"]
    return answered


CELL: Columns = {"Task": itemgetter("task"), "Seed": _number("seed")}
METHOD: Columns = CELL | {"Method": itemgetter("method")}
ACCURACY: Columns = {"Mean": _with_interval("mean"), "Std": _with_interval("std")}

ACCURACIES: Columns = {
    **METHOD,
    **ACCURACY,
    "Top": _with_interval("top", 0),
    "Worst": _points("worst"),
    "Unparsed": lambda row: f"{row['unparsed'] / _questions(row):.0%}",
    "Two prompts disagree": _points("disagreement", 0),
    "Right under all": _with_interval("right_under_all", 0),
    "Paper": _paper("{} ± {}, top {:.0f}"),
}
FAILURES: Columns = {
    "Cut": lambda row: f"{row['cut'] / _questions(row):.0%}",
    "Accuracy if read": _points("parsed_accuracy"),
}
"""Shown beside ``Unparsed`` where an answer could not be read, or an output was cut."""
GRADED = {
    "Accuracy if read": "Score if read",
    "Two prompts disagree": "Two prompts differ by",
    "Right under all": "Lowest score over the prompts",
}
"""The headers of columns, and what they are where scores are between 0 and 1."""
OVER_ALL: Columns = {header: cell for header, cell in ACCURACIES.items() if header != "Paper"}
DIFFERENCES: Columns = {
    **CELL,
    "Methods": lambda row: "{1} - {0}".format(*row["methods"]),
    "Points": lambda row: f"{row['difference'] * 100:+.1f} {bracket(Interval(*row['difference_interval']))}",
    "p": _number("p", ".2g"),
    "Beyond chance": lambda row: "yes" if row["differ"] else "no",
}
INFERENCE: Columns = {
    **METHOD,
    "Seconds": _number("eval_seconds", ".0f"),
    "Questions/s": lambda row: f"{_questions(row) / row['eval_seconds']:.1f}" if row["eval_seconds"] else "-",
    "Tokens an answer": lambda row: f"{row['generated_tokens'] / _questions(row):.1f}",
    "Paper, hours": _number("paper_hours"),
}
K_AND_T: Columns = {
    **CELL,
    "K": _number("K"),
    "T": _number("T"),
    "Mean": lambda row: ACCURACY["Mean"](row) + " (best)" * row["best"],
    "Std": ACCURACY["Std"],
    "Paper, on its test": _paper("{} ± {}"),
}
TRAINING: Columns = {
    **METHOD,
    "Seconds": _number("train_seconds", ".0f"),
    "Examples/s": _number("train_examples_per_second", ".1f"),
    "Choosing, s": _spent("seconds"),
    "Prompts tried": _spent("evaluations"),
    "Questions": _spent("questions"),
    "LLM tokens": _spent("tokens_read", "tokens_written"),
    "Paper, hours": _number("paper_hours"),
}
ONE_WORD: Columns = {
    **CELL,
    "Test accuracy": _with_interval("test_accuracy"),
    "While searching": _points("development_accuracy"),
    "Prompt": lambda row: row["text"].replace("\n", " / ").replace("|", "\\|"),
}
COUNTS: Columns = {
    **CELL,
    "Training prompts": _number("training_prompts"),
    **ACCURACY,
    "Worst": _points("worst"),
}
