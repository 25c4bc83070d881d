"""``paft calibrate``."""

from pathlib import Path
from typing import Annotated

import typer

from paft.cli.options import Quiet
from paft.utils.console import Console


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method whose adapter is used.")],
    prompt: Annotated[Path, typer.Option("--prompt", metavar="FILE", help="JSON lines with the one prompt.")],
    examples: Annotated[
        Path, typer.Option("--examples", metavar="FILE", help="Unlabelled examples, with the task's columns.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="JSON lines with prompts, such as the training prompts. Preferences that they share are kept; "
            "without them, the labels of the examples must be about balanced.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.json", help="The file to write.")] = Path(
        "offsets.json"
    ),
    quiet: Quiet = False,
) -> None:
    """Write how much a prompt prefers each label.

    Subtract these offsets where the model is deployed.
    """
    from paft.reporting.terminal import show_table
    from paft.runs.calibrate import calibrate as work

    offsets = work(run, method, prompt, examples, output, Console(quiet=quiet), reference)
    rows = [[answer, f"{value:.3f}", f"{offsets.errors[answer]:.3f}"] for answer, value in offsets.values.items()]
    show_table(["answer", "offset", "standard error"], rows)
    print(f"Offsets: {output}")
