"""Print a run's result to the terminal: a table of the methods, and the paths of the files."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paft.reporting.axes import AxesResult, side_by_side, size
from paft.reporting.axes import sentence as axes_sentence
from paft.reporting.axes import table as axes_table
from paft.reporting.formatting import shortest_ends
from paft.reporting.results import RunResult
from paft.reporting.sentences import baselines, differences_in_words, disagreement, failures, sentence, whole_grid
from paft.reporting.tables import cells, columns, other_scores


def show(result: RunResult) -> None:
    """Print the methods of a run to standard output."""
    console = Console(width=None if Console().is_terminal else 140)
    table = Table(title=f"{result.task}: {result.metric} on {result.test_prompts}, %", title_justify="left")
    table_columns = columns([result])
    for name in table_columns:
        table.add_column(name, justify="left" if name == "Method" else "right", no_wrap=name in ("Method", "Mean"))
    for method in result.methods:
        table.add_row(*cells(method, table_columns))
    console.print(table)
    if others := other_scores([result]):
        show_table(others[0], others[1:])
    lines = (
        *map(failures, result.methods),
        baselines(result),
        sentence(result),
        *differences_in_words(result),
        whole_grid(result),
        disagreement(result),
    )
    for line in filter(None, lines):
        console.print(line, markup=False, highlight=False)
    console.print(f"Page: {result.path}/report.html", markup=False, highlight=False)
    console.print(f"Report: {result.path}/report.md, report.json, figures/", markup=False, highlight=False)
    for problem in result.problems:
        console.print(problem, markup=False, highlight=False)
    for method in result.methods:
        if method.train_seconds:
            console.print(f"Adapter: {result.path}/methods/{method.name}/adapter", markup=False, highlight=False)


def show_axes(results: Sequence[AxesResult]) -> None:
    """Print the shares of a run of axes, or those of several side by side, to standard output."""
    names = shortest_ends([result.path.resolve() for result in results])
    header, *rows = axes_table(results[0]) if len(results) == 1 else side_by_side(results, names)
    show_table(header, rows)
    for result in results:
        print(f"{size(result)}. {axes_sentence(result)}")
        print(f"Page: {result.path}/report.html")
        print(f"Report: {result.path}/report.md, report.json")


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to standard output; columns of numbers are right-aligned."""
    console = Console(width=None if Console().is_terminal else 140)
    table = Table()
    for i, name in enumerate(header):
        numbers = all(row[i].replace(",", "").replace("-", "0").isdigit() for row in rows)
        table.add_column(name, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
