"""The command line. Exit codes: 0 done, 1 a failure while working, 2 bad usage or config."""

import os
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paft import __version__
from paft.cli.prompts import app as prompts_app
from paft.errors import UserError, WorkError
from paft.utils.console import Console, interruptible
from paft.utils.distributed import destroy_group
from paft.utils.io import memory_problem, storage_problem

if TYPE_CHECKING:
    from paft.config.schema import Config

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)

app.add_typer(prompts_app, name="prompts")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML config; examples/ has some.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...", help="Values that replace the config's.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The run directory; by default runs/NAME of the config; for evaluate runs/NAME-evaluate.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]


def _version(show: bool) -> None:
    if show:
        print(f"paft {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Fine-tune language models to answer the task and not the wording of the prompt."""


@app.command()
def run(config: ConfigFile, overrides: Overrides = None, output: Output = None, quiet: Quiet = False) -> None:
    """Fine-tune with each method of a config and measure each on unseen prompts; resumable."""
    from paft.runs.run import run as work

    with interruptible():
        work(*_prepared(config, overrides, output, quiet))
    _show(output or _default_output(config))


@app.command()
def evaluate(config: ConfigFile, overrides: Overrides = None, output: Output = None, quiet: Quiet = False) -> None:
    """Measure how much a model, with an adapter or behind an endpoint, depends on the wording of the prompt."""
    from paft.runs.run import evaluate as work

    with interruptible():
        work(*_prepared(config, overrides, output or _default_output(config, "-evaluate"), quiet))
    _show(output or _default_output(config, "-evaluate"))


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory.")] = Path("runs/demo"),
    quiet: Quiet = False,
) -> None:
    """Show the whole of it on an embedded model and task: no key, no hub, no GPU, a few minutes."""
    from paft.runs.run import run as work

    config = Path(str(resources.files("paft.tasks"))) / "demo" / "config.yaml"
    with interruptible():
        work(*_prepared(config, None, output, quiet))
    _show(output)


@app.command()
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
    """Write the report of each run anew and show the methods of all of them side by side, here and as a page.

    What is unfinished or damaged is named and the rest is shown; a RUN that is no run directory makes exit code 2,
    among others that are exit code 1.
    """
    from paft.reporting.report import compare, report_all

    results, refused, page = report_all(runs, output)
    print(compare(results))
    for line in [*refused, *(f"{r.path}: {line}" for r in results for line in r.problems)]:
        print(f"paft: {line}", file=sys.stderr)
    print(f"Page: {page}")
    if refused:
        raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Check what it needs too.")] = None,
) -> None:
    """Say what this machine has, what paft will choose on it, and what is missing; exit code 1 on a problem."""
    from paft.cli.doctor import examine

    states = []
    for finding in examine(config):
        print(finding)
        states.append(finding.state)
    raise typer.Exit(int("problem" in states))


@app.command()
def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="TABLE_OR_FIGURE", help="table1, 2, 3, 6 or 7; figure1, 3, 4, 5 or 6.")
    ],
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG... [KEY.SUB=VALUE]...", help="A config a task; overrides."),
    ],
    size: Annotated[str, typer.Option("--size", help="tiny, small or paper.")] = "tiny",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds, from the config's on.")] = 1,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="A Ray cluster; `local` starts one here.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of all runs.")] = Path("reproduced"),
    quiet: Quiet = False,
) -> None:
    """Make a table or figure of the paper on your model and data, beside the paper's numbers; resumable."""
    from paft.experiments.reproduce import Experiment
    from paft.experiments.reproduce import reproduce as work

    configs = [Path(a) for a in arguments if "=" not in a]
    overrides = [a for a in arguments if "=" in a]
    with interruptible():
        asked = Experiment(name, configs, overrides, output.resolve(), size, seeds)
        shown, failed = work(asked, Console(quiet=quiet), ray)
    print(shown.markdown())
    if failed or shown.missing:
        raise typer.Exit(1)


def _prepared(
    config: Path, overrides: list[str] | None, output: Path | None, quiet: bool
) -> "tuple[Config, Path, Console]":
    from paft.config.load import load_config

    return load_config(config, overrides), output or _default_output(config), Console(quiet=quiet)


def _default_output(config: Path, suffix: str = "") -> Path:
    return Path("runs") / f"{config.stem}{suffix}"


def _show(output: Path) -> None:
    if os.environ.get("RANK", "0") != "0":
        return  # the first of several processes shows the run
    from paft.reporting.read import read_run
    from paft.reporting.terminal import show

    show(read_run(output))


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress is paft's own, one bar at a time
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except WorkError as error:
        _fail(str(error), code=1)
    except Exception as error:
        problem = storage_problem(error) or memory_problem(error)
        if problem is None:
            raise
        _fail(problem)
    finally:
        destroy_group()


def _fail(line: str, code: int = 2) -> None:
    rank = os.environ.get("RANK", "0")
    print(f"paft: {'' if rank == '0' else f'process {rank}: '}error: {line}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
