"""The command line. Exit codes: 0 success, 1 failure during a run, 2 invalid usage or config."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from paft import __version__
from paft.cli import calibrate, gate, report, run
from paft.cli.prompts import app as prompts_app
from paft.errors import UserError, WorkError
from paft.utils.console import interruptible
from paft.utils.distributed import destroy_group
from paft.utils.io import memory_problem, storage_problem


class Commands(TyperGroup):
    """The commands; Ctrl-C ends each of them in the same way, also while its arguments are read."""

    make_context = interruptible()(TyperGroup.make_context)
    invoke = interruptible()(TyperGroup.invoke)


app = typer.Typer(
    cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
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
    """Fine-tune language models that are robust to the wording of the prompt.

    Start with `paft demo`. For your own data, write a config as in examples/ and call `paft run CONFIG`.
    """


commands = (run.run, run.evaluate, run.demo, gate.gate, report.report, report.reproduce, calibrate.calibrate)
for command in commands:
    app.command()(command)
app.add_typer(prompts_app, name="prompts")


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also check everything that this config needs.")
    ] = None,
) -> None:
    """Check this machine, the installation and a config.

    It prints one line for each check; the exit code is 1 if there is a problem.
    """
    from paft.cli.doctor import examine

    states = []
    for finding in examine(config):
        print(finding)
        states.append(finding.state)
    raise typer.Exit(int("problem" in states))


def main() -> None:
    """Run the command line; a user's mistake prints one line and exits with code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TQDM_DISABLE", "1")  # paft shows its own progress bar
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # PEFT imports it, and it reports missing kernels
    # transformers warns of its own attribute when PEFT asks for it; a user cannot fix it
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # PEFT looks for a config file of the model that an adapter names, also where that is one with another merged
    warnings.filterwarnings("ignore", message="Could not find a config file in .* merged", category=UserWarning)
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
