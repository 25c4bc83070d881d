"""``paft run``, ``paft evaluate`` and ``paft demo``."""

import os
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from paft.cli.options import ConfigFile, Output, Overrides, Quiet
from paft.errors import WorkError
from paft.utils.console import Console, interruptible


def run(config: ConfigFile, overrides: Overrides = None, output: Output = None, quiet: Quiet = False) -> None:
    """Fine-tune with each method of a config and measure each on unseen prompts; resumable."""
    _work("run", config, overrides, output or Path("runs") / config.stem, quiet)


def evaluate(config: ConfigFile, overrides: Overrides = None, output: Output = None, quiet: Quiet = False) -> None:
    """Measure how much a model's accuracy depends on the wording of the prompt, without training."""
    _work("evaluate", config, overrides, output or Path("runs") / f"{config.stem}-evaluate", quiet)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory.")] = Path("runs/demo"),
    quiet: Quiet = False,
) -> None:
    """Run all of paft on an embedded model and task in a few minutes, without an API key, the hub or a GPU."""
    config = Path(str(resources.files("paft.tasks"))) / "demo" / "config.yaml"
    _work("run", config, None, output, quiet)


def _work(command: str, config: Path, overrides: list[str] | None, output: Path, quiet: bool) -> None:
    """Run, write the report, and print the result."""
    from paft.config.load import load_config
    from paft.config.schema import variant_name
    from paft.runs import run as runs

    tree = load_config(config, overrides)
    with interruptible():
        (runs.run if command == "run" else runs.evaluate)(tree, output, Console(quiet=quiet))
        if os.environ.get("RANK", "0") != "0":
            return  # only the first process writes the report
        from paft.reporting.report import write_report
        from paft.reporting.terminal import show

        result = write_report(output)
    if any(name in result.unfinished for name in map(variant_name, tree.methods)):
        raise WorkError("; ".join(result.problems))  # a method without a result is not a success
    show(result)
