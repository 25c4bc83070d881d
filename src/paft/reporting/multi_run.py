"""Several runs side by side: a table or, of several models or tasks, a matrix; in the terminal and as files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paft import __version__
from paft.errors import UserError
from paft.reporting.axes import is_axes_run
from paft.reporting.formatting import markdown_table
from paft.reporting.matrix import FIGURES, Matrix, matrix_of, unlike
from paft.reporting.page import GENERATOR, check_own, write_page
from paft.reporting.read import read_run
from paft.reporting.report import OTHERS, SCHEMA, ends, write_result
from paft.reporting.results import RunResult
from paft.reporting.sentences import differences_in_words, estimated, sentence
from paft.reporting.tables import (
    BEYOND_THE_SAMPLE,
    beyond_the_sample,
    cells,
    columns,
    other_scores,
    over_seeds,
    run_names,
)
from paft.utils.io import write_text


def read_all(paths: Sequence[Path]) -> tuple[list[RunResult], list[str]]:
    """Return the runs, and one error message for each directory that is not a run.

    Raises:
        UserError: none of the directories is a run, or one is of ``paft evaluate --axes``.
    """
    if axes_runs := [path for path in paths if is_axes_run(path)]:
        if missing := [path for path in paths if not path.exists()]:
            raise UserError(f"{missing[0]}: no such run directory")
        raise UserError(f"{axes_runs[0]}: a run with --axes is compared with others of its kind only")
    results, errors = [], []
    for path in paths:
        try:
            results.append(read_run(path))
        except UserError as error:
            errors.append(str(error))
    if not results:
        raise UserError("; ".join(errors))
    return results, errors


def write_all(results: Sequence[RunResult], errors: Sequence[str], page: Path | None = None) -> Path:
    """Write the report of a single run, or the comparison of several: a page, Markdown and JSON of the same name.

    Of several runs, each one's own report is written too where it is missing or older than the run's predictions.

    Args:
        errors: one line for each further directory, which is not a run.
        page: by default ``report.html`` of a single run, ``comparison.html`` next to the first of several.

    Returns:
        The path of the page.

    Raises:
        UserError: a file would replace one that paft did not write.
    """
    if len(results) + len(errors) == 1:
        write_result(results[0])
        if page is not None:
            write_page(page, results)
        return page or results[0].path / "report.html"
    page = page or results[0].path.resolve().parent / "comparison.html"
    files = {page.with_suffix(".md"): as_markdown(results), page.with_suffix(".json"): as_json(results)}
    for path in (page, *files):
        check_own(path)
    for result in filter(_is_outdated, results):
        write_result(result)
    write_page(page, results, errors)
    for path, content in files.items():
        write_text(path, content)
    return page


def _is_outdated(result: RunResult) -> bool:
    """Return True if a run's own report is missing, or older than its predictions."""
    report = result.path / "report.html"
    inputs = result.path.glob("methods/*/predictions.parquet")
    return not report.is_file() or any(p.stat().st_mtime > report.stat().st_mtime for p in inputs)


def as_markdown(results: Sequence[RunResult]) -> str:
    """Return ``comparison.md``: the matrix, if there is one, and the tables of all runs."""
    matrix = matrix_of(results)
    lines = [*matrix_lines(matrix), "", "## Every run", ""] if matrix else []
    return "\n".join([f"<!-- {GENERATOR} {__version__} -->", "", *lines, *tables(results), ""])


def as_json(results: Sequence[RunResult]) -> str:
    """Return ``comparison.json``; ``docs/report.md`` explains each key."""
    matrix = matrix_of(results)
    content: dict[str, Any] = {
        "generator": f"{GENERATOR} {__version__}",
        "schema": SCHEMA,
        "runs": {name: str(result.path) for name, result in zip(run_names(results), results, strict=True)},
        "matrix": matrix and [
            {
                "row": row,
                "task": column,
                "run": entry.run,
                "model": entry.result.model_in_words,
                "method": entry.method.name,
                "seed": entry.result.seed,
                "mean": entry.summary.mean,
                "mean_interval": ends(entry.summary.mean_interval),
                "quantile_05": entry.summary.quantile_05,
                "quantile_05_interval": ends(entry.summary.quantile_05_interval),
                "prompts": entry.summary.prompts,
                "examples": entry.summary.examples,
                "is_part": entry.is_part,
            }
            for (row, column), seeds in matrix.entries.items()
            for entry in seeds
        ],
        "notes": matrix.notes if matrix else unlike(results),
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def compare(results: Sequence[RunResult]) -> str:
    """Return what the terminal shows: of several runs the matrix, or the tables if there is none.

    Of a single run, the result and the differences of its methods in sentences too.
    """
    if len(results) == 1:
        lines = [sentence(results[0]), "", *tables(results)]
        return "\n".join([*lines, "", *differences_in_words(results[0])] if results[0].differences else lines)
    matrix = matrix_of(results)
    return "\n".join(matrix_lines(matrix) if matrix else tables(results))


def matrix_lines(matrix: Matrix) -> list[str]:
    """Return a matrix as Markdown, one table for each figure."""
    lines: list[str] = []
    for figure, title in FIGURES.items():
        header, *rows = matrix.table(figure)
        lines += [f"{title} over prompts, in %, with 95 % intervals:", "", *markdown_table(header, rows), ""]
    return [*lines, *(f"- {note}" for note in matrix.notes)] if matrix.notes else lines[:-1]


def tables(results: Sequence[RunResult]) -> list[str]:
    """Return Markdown tables of all methods, and one over seeds if the runs differ only in the seed."""
    named = zip(results, run_names(results), strict=True)
    table_columns = columns(results)
    lines = markdown_table(
        ("Run", *table_columns),
        [(name, *cells(m, table_columns)) for r, name in named for m in r.methods],
    )
    lines += [line for note in unlike(results) for line in ("", note)]
    if rows := beyond_the_sample(results):
        lines += ["", *markdown_table(rows[0], rows[1:]), "", BEYOND_THE_SAMPLE]
    if rows := other_scores(results):
        lines += ["", f"{OTHERS}:", "", *markdown_table(rows[0], rows[1:])]
    lines += [line for result in results if (text := estimated(result)) for line in ("", text)]
    if rows := over_seeds(results):
        lines += ["", f"Over {len(results)} seeds (mean of the runs, ± their sample standard deviation):", ""]
        lines += markdown_table(rows[0], rows[1:])
    return lines
