"""``paft report`` and ``paft reproduce``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from paft.cli.options import Quiet
from paft.errors import UserError
from paft.utils.console import Console


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="One or several run directories.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The page; by default RUN/report.html, or comparison.html next to the first of several runs, "
            "beside a .md and a .json of the same name.",
        ),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="LEFT RIGHT",
            help="Print whether two methods, prompts or runs differ, and the examples that changed. Each is "
            "RUN:METHOD:PROMPT (the beginning of a prompt's id), less what there is only one of.",
        ),
    ] = None,
) -> None:
    """Rewrite the report of a run, or compare several runs.

    Runs of several models or tasks make a matrix. Unfinished methods and damaged files are listed;
    everything else is shown. The exit code is 2 if no RUN is a
    run directory, and 1 if only some are.
    """
    if output is not None and output.suffix.lower() != ".html":
        raise UserError(f"--output {output}: the page is HTML; name a file that ends in .html")
    from paft.reporting.axes import is_axes_run
    from paft.reporting.comparison import describe
    from paft.reporting.multi_run import compare, read_all, write_all
    from paft.reporting.pairs import compare_sides, find_side

    if pair is None and all(map(is_axes_run, runs)):
        _report_axes(runs, output)
        return
    results, errors = read_all(runs)
    print(describe(compare_sides(*(find_side(name, results) for name in pair))) if pair else compare(results))
    page = write_all(results, errors, output)
    for line in [*errors, *(f"{r.path}: {line}" for r in results for line in r.problems)]:
        print(f"paft: {line}", file=sys.stderr)
    print(f"Page: {page}")
    if errors:
        raise typer.Exit(1)


def _report_axes(runs: list[Path], output: Path | None) -> None:
    """Rewrite the reports of runs of ``paft evaluate --axes``, and a page that compares several."""
    from paft.reporting.page_axes import write_axes_page, write_axes_report
    from paft.reporting.terminal import show_axes

    results = [write_axes_report(run) for run in runs]
    show_axes(results)
    if output is not None or len(runs) > 1:
        page = output or runs[0].resolve().parent / "comparison-axes.html"
        write_axes_page(page, results)
        print(f"Page: {page}")


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE_OR_FIGURE",
            help="table1, table2, table3, table6 or table7; figure1, figure3, figure4, figure5 or figure6.",
        ),
    ],
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG|KEY.SUB=VALUE",
            help="One config per task, and values that replace those in the configs.",
        ),
    ],
    size: Annotated[str, typer.Option("--size", help="tiny, small or paper.")] = "tiny",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="How many seeds, counted up from the config's.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="A Ray cluster; `local` starts one on this machine."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of all runs.")] = Path("reproduced"),
    quiet: Quiet = False,
) -> None:
    """Reproduce a table or figure of the paper.

    It uses your model and data. Run the same command again to resume.
    """
    from paft.experiments import reproduce as experiments

    configs = [Path(argument) for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    experiment = experiments.Experiment(name, configs, overrides, output.resolve(), size, seeds)
    table, failed = experiments.reproduce(experiment, Console(quiet=quiet), ray)
    print(table.markdown())
    if failed or table.missing:
        raise typer.Exit(1)
