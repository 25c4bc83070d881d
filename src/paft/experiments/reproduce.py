"""``paft reproduce``: plan the runs of a table or figure, do what is left of them, write what they say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.config.load import load_config
from paft.errors import UserError, nearest
from paft.experiments.cells import run_cells, run_on_ray
from paft.experiments.figures import write_figures
from paft.experiments.plan import METHODS, METHODS_OF, Cell, Plan
from paft.experiments.sizes import PRESETS
from paft.experiments.views import RESULT_TABLES, ResultTable, view
from paft.methods.choosing import check_baselines
from paft.reporting.page import write_page
from paft.utils.console import Console
from paft.utils.distributed import launched
from paft.utils.io import write_text


@dataclass(frozen=True)
class Experiment:
    """What is asked for.

    Attributes:
        name: of a table or a figure.
        configs: one a task.
        overrides: ``key.sub=value``, which win over the size, which wins over the configs.
        output: the folder of all runs.
    """

    name: str
    configs: Sequence[Path]
    overrides: Sequence[str]
    output: Path
    size: str = "tiny"
    seeds: int = 1


def reproduce(asked: Experiment, console: Console, ray: str | None = None) -> tuple[ResultTable, dict[str, str]]:
    """Make a table or a figure of the paper, on the tasks and the model of the configs.

    Args:
        ray: address of a Ray cluster, ``local`` for one of this machine's own; None does one cell after the other.

    Returns:
        What there is, and for each cell that failed the reason.

    Raises:
        UserError: no such table, figure or size; a config does not fit. Nothing has run then.
    """
    if launched() > 1:
        raise UserError("paft reproduce spreads its runs by --ray; start it without torchrun or accelerate launch")
    cells, output = plan(asked, console), asked.output
    try:
        failed = run_cells(cells, output, console) if ray is None else run_on_ray(cells, output, ray, console)
    except KeyboardInterrupt:
        write(asked.name, view(asked.name, cells, output, {}), output)
        console.say(f"{output / asked.name}.md has what is finished; the same command goes on from here")
        raise
    shown = view(asked.name, cells, output, failed)
    write(asked.name, shown, output)
    return shown, failed


def plan(asked: Experiment, console: Console) -> list[Cell]:
    """Return the cells, after everything that can be refused before they run has been."""
    name, size = asked.name, PRESETS.get(asked.size)
    if name not in RESULT_TABLES:
        raise UserError(f"no table or figure {name!r}{nearest(name, RESULT_TABLES)}")
    if size is None:
        raise UserError(f"no size {asked.size!r}; there are {', '.join(PRESETS)}")
    if not asked.configs:
        raise UserError("name a config for each task, such as examples/trec.yaml")
    given = {override.partition("=")[0] for override in asked.overrides}
    read = [load_config(path, list(asked.overrides), over=size.config) for path in asked.configs]
    names = [config.task.name for config in read]
    if twice := [n for n in names if names.count(n) > 1]:
        raise UserError(f"two configs are of the task {twice[0]!r}; the cells are named by the task")
    cells: list[Cell] = []
    for config in read:
        wanted = config.methods if "methods" in given else METHODS
        methods = [method for method in wanted if method in METHODS_OF.get(name, METHODS)]
        if not methods:
            raise UserError(
                f"{name}: none of the methods {', '.join(wanted)} is part of it; "
                f"it is of {', '.join(METHODS_OF[name])}"
            )
        if name != "table7":
            check_baselines(methods, config.baselines, console)
        for seed in range(config.seed, config.seed + asked.seeds):
            seeded = config.model_copy(update={"seed": seed})
            cells += Plan(seeded, size, methods, asked.output, console.say).cells(name)
    console.say(f"{name} at size {asked.size}: {len(cells)} cells in {asked.output}")
    return cells


def write(name: str, shown: ResultTable, output: Path) -> None:
    """Write the view as ``NAME.json``, ``NAME.md``, figures and, where methods are compared, a page."""
    tree: dict[str, Any] = {
        "title": shown.title,
        "rows": shown.rows,
        "differences": shown.differences,
        "notes": shown.notes,
        "missing": shown.missing,
    }
    write_text(output / f"{name}.json", json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
    write_text(output / f"{name}.md", shown.markdown())
    write_figures(name, shown, output / "figures")
    if shown.runs:
        write_page(output / f"{name}.html", shown.runs)
