"""``paft reproduce``: plan the runs of a table or figure, run what is not finished, and write the result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paft.config.load import load_config
from paft.config.schema import Config, NamedVariant, variant_name
from paft.errors import UserError, nearest
from paft.experiments.figures import write_figures
from paft.experiments.plan import Plan, PlannedRun
from paft.experiments.presets import PRESETS
from paft.experiments.tables import RESULT_TABLES, ResultTable, make_table
from paft.experiments.workers import run_cells, run_on_ray
from paft.methods.registry import TABLE_1, resolve
from paft.reporting.page import write_page
from paft.utils.console import Console
from paft.utils.distributed import launched
from paft.utils.io import write_text


@dataclass(frozen=True)
class Experiment:
    """A request for a table or a figure.

    Attributes:
        name: such as ``table1`` or ``figure4``.
        configs: one config file per task.
        overrides: ``key.sub=value``; they replace values of the preset, which replace values of the configs.
        output: the folder of all runs.
        size: the name of a preset.
        seeds: the number of seeds, counted up from the config's seed.
    """

    name: str
    configs: Sequence[Path]
    overrides: Sequence[str]
    output: Path
    size: str = "tiny"
    seeds: int = 1


def reproduce(
    experiment: Experiment, console: Console, ray: str | None = None
) -> tuple[ResultTable, dict[str, str]]:
    """Reproduce a table or figure of the paper, with the tasks and the model of the configs.

    Args:
        ray: the address of a Ray cluster, or ``local`` to start one on this machine; None: run one cell at a time.

    Returns:
        The table, and folder -> reason for each failed cell.

    Raises:
        UserError: the table, figure or size does not exist, or a config is invalid. It is raised before any run.
    """
    if launched() > 1:
        raise UserError(
            "paft reproduce does not run under torchrun or accelerate launch; use --ray for parallel runs"
        )
    runs, output = plan(experiment, console), experiment.output
    cells = [cell for run in runs for cell in run.cells]
    console.say(f"{experiment.name} at size {experiment.size}: {len(cells)} cells in {output}")
    try:
        failed = run_cells(cells, output, console) if ray is None else run_on_ray(cells, output, ray, console)
    except KeyboardInterrupt:
        write(experiment.name, make_table(experiment.name, runs, output, {}), output)
        console.say(
            f"{output / experiment.name}.md shows the finished cells; run the same command again to resume"
        )
        raise
    table = make_table(experiment.name, runs, output, failed)
    write(experiment.name, table, output)
    return table, failed


def plan(experiment: Experiment, console: Console) -> list[PlannedRun]:
    """Return the runs, after checking everything that can be checked before they start.

    Raises:
        UserError: the table, figure or size does not exist, or a config is invalid.
    """
    name, preset = experiment.name, PRESETS.get(experiment.size)
    if name not in RESULT_TABLES:
        raise UserError(f"no table or figure {name!r}{nearest(name, RESULT_TABLES)}")
    if preset is None:
        raise UserError(f"no size {experiment.size!r}; the sizes are {', '.join(PRESETS)}")
    if not experiment.configs:
        raise UserError("name a config for each task, such as examples/trec.yaml")
    keys = {override.partition("=")[0] for override in experiment.overrides}
    configs = [load_config(path, list(experiment.overrides), over=preset.config) for path in experiment.configs]
    names = [config.task.name for config in configs]
    if repeated := [n for n in names if names.count(n) > 1]:
        raise UserError(f"two configs have the task {repeated[0]!r}; name each task once, as it names the folder")
    runs: list[PlannedRun] = []
    for config in configs:
        entries = config.methods if "methods" in keys else list(TABLE_1)
        methods = _select_methods(name, config.model_copy(update={"methods": entries}), console)
        for seed in range(config.seed, config.seed + experiment.seeds):
            seeded = config.model_copy(update={"seed": seed})
            runs += Plan(seeded, preset, methods, experiment.output, console.say).runs(name)
    return runs


METHODS_OF = {"table3": ("paft",), "figure1": ("user",), "figure3": ("base", "user"), "figure6": ("paft",)}
"""The methods that are part of a table or figure; the others contain all methods."""

TRAINED_ONLY = {"table6"}
"""Tables about training, which have no row for a method that does not train."""


def _select_methods(name: str, config: Config, console: Console) -> list[str | NamedVariant]:
    """Return the entries of ``methods`` that are part of a table or figure, with their settings checked."""
    part = METHODS_OF.get(name)
    listed = [entry for entry in config.methods if part is None or variant_name(entry) in part]
    variants = resolve(listed, config.training, config.baselines)
    pairs = [
        (entry, variant)
        for entry, variant in zip(listed, variants, strict=True)
        if variant.method.trains or name not in TRAINED_ONLY
    ]
    if not pairs:
        names = ", ".join(map(variant_name, config.methods))
        shows = ", ".join(part) if part else "methods that train"
        raise UserError(f"{name}: none of the methods {names} is part of it; it shows {shows}")
    if name != "table7":
        for _, variant in pairs:
            variant.check(console)
    return [entry for entry, _ in pairs]


def write(name: str, table: ResultTable, output: Path) -> None:
    """Write ``NAME.json``, ``NAME.md``, the figures and, for a comparison of methods, a page."""
    tree: dict[str, Any] = {
        "title": table.title,
        "rows": table.rows,
        "differences": table.differences,
        "notes": table.notes,
        "missing": table.missing,
    }
    write_text(output / f"{name}.json", json.dumps(tree, indent=2, ensure_ascii=False) + "\n")
    write_text(output / f"{name}.md", table.markdown())
    write_figures(name, table, output / "figures")
    if table.runs:
        write_page(output / f"{name}.html", table.runs)
