"""The command line. Exit codes: 0 done, 1 failed while working, 2 bad usage or config."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from paft import __version__
from paft.cli import report, run
from paft.cli.prompts import app as prompts_app
from paft.errors import UserError, WorkError
from paft.utils.distributed import destroy_group
from paft.utils.io import memory_problem, storage_problem

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _version(show: bool) -> None:
    if show:
        print(f"paft {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fine-tune language models to answer the task and not the wording of the prompt."""


for command in (run.run, run.evaluate, run.demo, report.report, report.reproduce):
    app.command()(command)
app.add_typer(prompts_app, name="prompts")


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Also check what a config needs.")] = None,
) -> None:
    """Print what this machine has, what paft chooses on it, and what is missing; exit code 1 on a problem."""
    from paft.cli.doctor import examine

    states = []
    for finding in examine(config):
        print(finding)
        states.append(finding.state)
    raise typer.Exit(int("problem" in states))


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
