"""``paft run``, ``paft evaluate`` and ``paft demo``."""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paft.cli.options import ConfigFile, Output, Overrides, Quiet
from paft.errors import UserError, WorkError
from paft.utils.console import Console

if TYPE_CHECKING:
    from paft.config.schema import Config


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    output: Output = None,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="To choose settings: measure on a ninth of the training prompts and examples, held out.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune with each method of a config, then measure them all.

    They are measured on test prompts that none was trained on. Run the same command again to resume.
    """
    from paft.runs.run import run as work

    name = f"{config.stem}-validate" if validate else config.stem
    _work(work, config, overrides, output or Path("runs") / name, quiet, validate=validate)


def evaluate(
    config: ConfigFile,
    overrides: Overrides = None,
    output: Output = None,
    axes: Annotated[
        str | None,
        typer.Option(
            "--axes",
            metavar="NAME,...",
            help="Measure which of these matter: wording, format, order, system, shots, typos, seed.",
        ),
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(
            "--adapter",
            metavar="FOLDER",
            help="With --axes: ask with this adapter; several are the levels of the axis seed.",
        ),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option("--cells", min=1, help="With --axes: at most so many questions; 2,000 by default."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Measure how much accuracy depends on the prompt's wording.

    Nothing is trained. Run the same command again to resume.
    """
    if axes is not None:
        output = output or Path("runs") / f"{config.stem}-axes"
        _axes(config, overrides, output, axes, adapter or [], cells or 2_000, quiet)
        return
    if adapter or cells:
        raise UserError(
            f"{'--adapter' if adapter else '--cells'} is an option of --axes; add --axes, or leave it out"
        )
    from paft.runs.run import evaluate as work

    _work(work, config, overrides, output or Path("runs") / f"{config.stem}-evaluate", quiet)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory.")] = Path("runs/demo"),
    quiet: Quiet = False,
) -> None:
    """Fine-tune and measure an embedded model in a few minutes.

    It needs no API key, no model hub and no GPU.
    """
    from paft.runs.run import run as work

    config = Path(str(resources.files("paft.tasks"))) / "demo" / "config.yaml"
    _work(work, config, None, output, quiet)


def _axes(
    config: Path,
    overrides: list[str] | None,
    output: Path,
    axes: str,
    adapters: list[Path],
    cells: int,
    quiet: bool,
) -> None:
    """Ask along the axes, write the report, and print the result."""
    from paft.config.load import load_config
    from paft.runs.axes import evaluate_axes

    names = [name.strip() for name in axes.split(",")]
    evaluate_axes(
        load_config(config, overrides), names, output, Console(quiet=quiet), cells=cells, adapters=adapters
    )
    from paft.reporting.page_axes import write_axes_report
    from paft.reporting.terminal import show_axes

    show_axes([write_axes_report(output)])


def _work(
    work: "Callable[[Config, Path, Console], None]",
    config_file: Path,
    overrides: list[str] | None,
    output: Path,
    quiet: bool,
    validate: bool = False,
) -> None:
    """Work on a config, write the report, and print the result."""
    from paft.config.load import load_config
    from paft.config.schema import variant_name

    config = load_config(config_file, overrides)
    is_main = os.environ.get("RANK", "0") == "0"
    if validate:
        from paft.runs.validation import with_held_out

        config = with_held_out(config, output, Console(quiet=quiet or not is_main))
    work(config, output, Console(quiet=quiet))
    if not is_main:
        return  # only the first process writes the report
    from paft.reporting.report import write_report
    from paft.reporting.terminal import show

    result = write_report(output)
    if any(name in result.unfinished for name in map(variant_name, config.methods)):
        raise WorkError("; ".join(result.problems))  # a method without a result is not a success
    show(result)
