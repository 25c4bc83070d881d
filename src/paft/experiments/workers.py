"""Run the cells of an experiment: in sequence in this process, or in parallel on a Ray cluster.

The cells of a run share its directory, and each has its method's folder. Finished cells do not run again. A cell
whose worker died is restarted and resumes.
"""

import json
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paft.errors import LineError, UserError, WorkError, first_line, one_line
from paft.experiments.plan import PlannedCell
from paft.utils.console import Console
from paft.utils.io import write_text

RETRIES = 3
"""How often a cell is restarted after its worker died."""


def run_cells(cells: Sequence[PlannedCell], output: Path, console: Console) -> dict[str, str]:
    """Run the cells in this process; return folder -> reason for each failed cell."""
    failed = {}
    for number, cell in enumerate(cells, start=1):
        console.say(f"[{number}/{len(cells)}] {cell.folder}")
        if reason := run_cell(cell, output, console):
            failed[cell.folder] = reason
            console.say(f"{cell.folder} failed: {reason}")
    return failed


def run_on_ray(cells: Sequence[PlannedCell], output: Path, address: str, console: Console) -> dict[str, str]:
    """Run the cells as tasks of a Ray cluster, whose machines must share the output folder.

    Args:
        address: the address of the cluster; ``local`` starts a cluster on this machine and stops it at the end.

    Returns:
        Folder -> reason for each failed cell.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    failed: dict[str, str] = {}
    with _cluster(address) as ray:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(run_cell)
        pending = {task.remote(cell, output, Console(quiet=True)): cell for cell in cells}
        while pending:
            [done], _ = ray.wait(list(pending), num_returns=1)
            cell = pending.pop(done)
            line = f"[{len(cells) - len(pending)}/{len(cells)}] {cell.folder}"
            if reason := _failure(ray, done):
                failed[cell.folder] = reason
                line += f" failed: {reason}"
            console.say(line)
    return failed


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Connect to a Ray cluster within the block; yield the package ray.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--ray requires the package ray: pip install 'paft[ray]'") from None

    try:
        if address == "local":
            ray.init(address="local", include_dashboard=False, log_to_driver=False)
        else:
            check_port(address)
            ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise UserError(f"--ray {address}: cannot reach a cluster: {reason}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _failure(ray: Any, done: Any) -> str | None:
    """Return why a finished task of the cluster has no result; None if it has one."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:  # before the cell started, for example if paft is not installed
        return f"its worker could not start: {one_line(error.cause)}"
    except ray.exceptions.RayError as error:
        return f"its worker died {RETRIES + 1} times: {first_line(error)}"


def check_port(address: str) -> None:
    """Raise an OSError if nothing listens at the address; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def run_cell(cell: PlannedCell, output: Path, console: Console) -> str | None:
    """Run a cell, or resume it; return the reason if it failed, else None."""
    trace = output / cell.run.folder / (f"error-{cell.method}.txt" if cell.method else "error.txt")
    trace.unlink(missing_ok=True)
    try:
        _work(cell, output, console)
    except LineError as error:
        return str(error)
    except Exception as error:  # other cells continue; the traceback is written to a file
        write_text(trace, traceback.format_exc())
        return f"{type(error).__name__}: {first_line(error)} (see {trace})"
    return None


def _work(cell: PlannedCell, output: Path, console: Console) -> None:
    run, folder = cell.run, output / cell.run.folder
    if run.work == "one-word":
        from paft.experiments.one_word import search

        search(run.config, folder, console, max_edits=run.edits)
    elif run.work == "prompts":
        from paft.prompts.stage1 import costs, generate

        generated = generate(run.config, folder, console)
        if generated.missing:
            raise WorkError(f"{sum(count for count, _ in generated.missing.values())} prompts are missing")
        write_text(folder / "costs.json", json.dumps(costs(run.config, generated)))
    else:
        from paft.runs.run import run as work

        work(run.config, folder, console, only=cell.method)
