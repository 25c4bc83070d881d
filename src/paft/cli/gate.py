"""``paft gate``."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paft.cli.options import Overrides, Quiet
from paft.errors import UserError
from paft.utils.console import Console

if TYPE_CHECKING:
    from paft.runs.baseline import Baseline
    from paft.runs.gate import GateResult
    from paft.runs.goal import Goal


class Undecided(StrEnum):
    """What an undecided end counts as."""

    PASS = "pass"
    FAIL = "fail"


def gate(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="A YAML config, as of evaluate; not with --from.")
    ] = None,
    overrides: Overrides = None,
    at_least: Annotated[
        str | None,
        typer.Option("--at-least", metavar="FIGURE>=X", help="mean, quantile_05 or worst, such as 'mean>=0.80'."),
    ] = None,
    no_worse_than: Annotated[
        Path | None,
        typer.Option("--no-worse-than", metavar="RUN", help="A run with the same prompts and examples."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="The method of RUN, if it has several.")] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", min=0, max=1, help="How much lower than RUN's the mean may be; by default 0.02."),
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Judge a log of lm-evaluation-harness or inspect-ai, one for each prompt.",
        ),
    ] = None,
    score: Annotated[
        str | None, typer.Option("--score", metavar="NAME", help="The score in the logs, if they have several.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option("--questions", min=50, help="The most questions to ask; by default 400.")
    ] = None,
    undecided: Annotated[
        Undecided | None,
        typer.Option("--undecided", help="What it counts as if the questions do not suffice; by default pass."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder of the result; by default runs/CONFIG-gate.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Test a model against a threshold or a run, as in CI.

    It stops as soon as the result is clear. Run the same command again to resume.

    Exit code 0: passed, 1: fell short. Writes gate.json, gate.md and junit.xml.
    """
    from paft.reporting.gate import line, write_gate
    from paft.runs.gate import remove_result

    if (at_least is None) == (no_worse_than is None):
        raise UserError("name what is required: --at-least 'FIGURE>=X' or --no-worse-than RUN, one of them")
    of_baseline, of_logs = {"--method": method, "--margin": margin}, {"--score": score}
    of_config = {"--questions": questions, "--undecided": undecided}
    _check_owner(of_baseline, "--no-worse-than", no_worse_than is not None)
    _check_owner(of_logs, "--from", bool(logs))
    _check_owner(of_config, "a CONFIG; --from asks nothing and always decides", not logs)
    console = Console(quiet=quiet)
    folder = output or Path("runs") / (f"{config.stem}-gate" if config else "gate")
    remove_result(folder)
    if logs:
        result = _from_logs(logs, at_least, score, config, console)
    elif config is None:
        raise UserError("name a CONFIG, or logs with --from")
    else:
        goal = _goal(at_least, no_worse_than, method, margin)
        result = _from_model(config, overrides, folder, goal, console, questions, undecided)
    result.write(folder)
    write_gate(folder, result)
    print(f"{line(result)}; {folder / 'gate.md'}")
    raise typer.Exit(result.exit_code)


def _from_logs(
    logs: list[Path], at_least: str | None, score: str | None, config: Path | None, console: Console
) -> "GateResult":
    """Return the result of logs of other tools, one for each prompt; no config is read."""
    from paft.runs.gate_logs import judge_logs
    from paft.runs.goal import Goal

    if at_least is None:
        raise UserError("--from judges logs by themselves: use --at-least, not --no-worse-than")
    if config is not None:
        console.say(f"{config} is not read: --from judges logs by themselves")
    return judge_logs(logs, Goal.parse(at_least), score)


def _from_model(
    config: Path,
    overrides: list[str] | None,
    folder: Path,
    goal: "Goal | Baseline",
    console: Console,
    questions: int | None,
    undecided: Undecided | None,
) -> "GateResult":
    """Return the result of a config's model, which is asked."""
    from paft.config.load import load_config
    from paft.runs.gate import QUESTIONS
    from paft.runs.gate import gate as work

    return work(
        load_config(config, overrides),
        folder,
        goal,
        console,
        questions=questions or QUESTIONS,
        undecided="fail" if undecided is Undecided.FAIL else "pass",
    )


def _goal(
    at_least: str | None, no_worse_than: Path | None, method: str | None, margin: float | None
) -> "Goal | Baseline":
    """Return what is required: the one of the first two that is given."""
    from paft.runs.baseline import MARGIN, Baseline
    from paft.runs.goal import Goal

    if no_worse_than is None:
        return Goal.parse(at_least or "")
    return Baseline.read(no_worse_than, method, MARGIN if margin is None else margin)


def _check_owner(options: Mapping[str, Any], owner: str, is_there: bool) -> None:
    """Refuse options that have a value without what they belong to."""
    names = [name for name, value in options.items() if value is not None]
    if names and not is_there:
        raise UserError(f"{' and '.join(names)} {'belongs' if len(names) == 1 else 'belong'} to {owner}")
