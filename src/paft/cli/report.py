"""``paft report`` and ``paft reproduce``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from paft.cli.options import Quiet
from paft.utils.console import Console, interruptible


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or several run directories.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The page; by default RUN/report.html, of several runs comparison.html beside the first.",
        ),
    ] = None,
) -> None:
    """Rewrite the report of each run, and compare the methods of all of them, here and on one page.

    What is unfinished or damaged is named and the rest is shown. The exit code is 2 if no RUN is a run directory,
    and 1 if only some are.
    """
    from paft.reporting.report import compare, report_all

    results, refused, page = report_all(runs, output)
    print(compare(results))
    for line in [*refused, *(f"{r.path}: {line}" for r in results for line in r.problems)]:
        print(f"paft: {line}", file=sys.stderr)
    print(f"Page: {page}")
    if refused:
        raise typer.Exit(1)


def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="TABLE_OR_FIGURE", help="table1, 2, 3, 6 or 7; figure1, 3, 4, 5 or 6.")
    ],
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG... [KEY.SUB=VALUE]...", help="One config per task; overrides."),
    ],
    size: Annotated[str, typer.Option("--size", help="tiny, small or paper.")] = "tiny",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds, counted from the config's.")] = 1,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="A Ray cluster; `local` starts one here.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of all runs.")] = Path("reproduced"),
    quiet: Quiet = False,
) -> None:
    """Make a table or figure of the paper on your model and data, beside the paper's numbers; resumable."""
    from paft.experiments import reproduce as experiments

    configs = [Path(argument) for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    with interruptible():
        experiment = experiments.Experiment(name, configs, overrides, output.resolve(), size, seeds)
        table, failed = experiments.reproduce(experiment, Console(quiet=quiet), ray)
    print(table.markdown())
    if failed or table.missing:
        raise typer.Exit(1)
