"""Read a run directory. Damaged and missing files are listed in the result; everything else is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from paft.config.schema import variant_name
from paft.errors import UserError, one_line
from paft.evaluation.estimate import estimate_cells, summarise_estimate
from paft.evaluation.failures import count_failures
from paft.evaluation.metrics import score_per_label, summarise
from paft.reporting.files import RunFiles
from paft.reporting.options import calibrated_scores, option_scores
from paft.reporting.other_score import OtherScore
from paft.reporting.predictions import Grid, read_grid
from paft.reporting.results import MethodResult, RunResult, mode_of
from paft.runs.directory import RunDirectory
from paft.utils.console import counted

Default = TypeVar("Default", float, None)


def read_run(path: Path) -> RunResult:
    """Read a run directory.

    Raises:
        UserError: the folder is not a run directory.
    """
    directory, files = RunDirectory(path), RunFiles(path)
    config = _read_config(directory)
    facts = config.get("run") if isinstance(config.get("run"), dict) else {}
    logs = {name: files.training_log(directory.method(name) / "train.jsonl") for name in _names(config)}
    grids, unfinished = _read_grids(directory, files, logs)
    prompts = files.prompts(directory.prompts("test"))
    files.check_complete(directory.prompts("test"), prompts, [i for g in grids.values() for i in g.prompt_ids])
    examples = {row["id"]: row for row in files.rows(directory.examples) if isinstance(row.get("id"), str)}
    if examples or _number(facts, "version", 1) > 1:  # the first version wrote none
        files.check_complete(directory.examples, examples, [i for g in grids.values() for i in g.example_ids])
    run = RunResult(
        path,
        config,
        [],
        unfinished,
        files.damaged,
        top=_number(facts, "top", 0.85),
        chance=_number(facts, "chance", None),
        is_binary=all(grid.is_binary for grid in grids.values()) and not _is_graded(config, facts),
        prompts=prompts,
        train_prompts=files.prompts(directory.prompts("train")),
        examples=examples,
    )
    for name, grid in grids.items():
        folder = directory.method(name)
        choosing, judge = files.search_cost(folder / "choice.json"), files.judge(folder / "judge.json")
        run.methods.append(_method(run, name, grid, log=logs[name], choosing=choosing, judge=judge))
    return run


def _read_grids(
    directory: RunDirectory, files: RunFiles, logs: Mapping[str, list[dict[str, Any]]]
) -> tuple[dict[str, Grid], dict[str, str]]:
    """Return the grid of each finished method, and the progress of each of the others.

    Args:
        logs: the rows of ``train.jsonl`` of every method.
    """
    grids, unfinished = {}, {}
    for name, log in logs.items():
        folder = directory.method(name)
        try:
            grids[name] = read_grid(folder / "predictions.parquet")
        except FileNotFoundError:
            unfinished[name] = _progress(folder, log)
        except (OSError, pa.ArrowException, ValueError) as error:
            reason = f"damaged ({one_line(error, 160)}); remove the file and run the same command again"
            files.note(folder / "predictions.parquet", reason)
            unfinished[name] = "its predictions are damaged"
    return grids, unfinished


def _method(run: RunResult, name: str, grid: Grid, **files: Any) -> MethodResult:
    """Return the metrics of a method's grid; estimates where not all of its cells were answered."""
    others = dict(zip(_other_names(run, len(grid.other_scores)), grid.other_scores, strict=True))
    kind = run.calibration
    are_used = kind is not None or not grid.is_complete
    options = option_scores(grid, run.examples, run.facts.get("targets_are_options")) if are_used else None
    calibrated = calibrated_scores(options, grid.answered, kind) if options and kind else None
    estimate = None
    if grid.is_complete:
        summary = summarise(grid.scores, run.top, is_binary=run.is_binary, answers=grid.answers)
    else:
        prompts = [run.prompts.get(i) for i in grid.prompt_ids]
        traits = [run.traits_of(prompt) for prompt in prompts if prompt] if all(prompts) else None
        groups = grid.targets if run.labels else None
        estimate = estimate_cells(grid.scores, run.top, traits=traits, groups=groups, options=options)
        summary = summarise_estimate(estimate, grid.scores, run.top, is_binary=run.is_binary, answers=grid.answers)
    return MethodResult(
        name,
        summary,
        count_failures(grid.scores, grid.unparsed, grid.finish, grid.answered),
        score_per_label(grid.scores, grid.targets) if run.labels else None,
        {scorer: OtherScore.of(scores) for scorer, scores in others.items()},
        grid,
        calibrated=None if calibrated is None else OtherScore.of(calibrated),
        estimate=estimate,
        **files,
    )


def _other_names(run: RunResult, count: int) -> list[str]:
    """Return the names of the further scorers; numbers where their count does not fit."""
    names = run.scorers[1:]
    return names if len(names) == count else [f"scorer {number}" for number in range(2, count + 2)]


def _names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the run's methods; an entry is a name or the mapping of a named variant."""
    return [
        str(entry.get("name")) if isinstance(entry, dict) else variant_name(str(entry))
        for entry in config["methods"]
    ]


def _read_config(directory: RunDirectory) -> dict[str, Any]:
    config = directory.read_config()
    for section, key in (("task", "name"), ("model", "path")):
        if not isinstance(config.get(section), dict) or key not in config[section]:
            raise UserError(f"{directory.config_file}: not the config of a run: {section}.{key} is missing")
    if not isinstance(config.get("methods"), list):
        raise UserError(f"{directory.config_file}: not the config of a run: methods is not a list")
    return config


def _is_graded(config: Mapping[str, Any], facts: Any) -> bool:
    """Return True if the run recorded that its scorer gives more than 0 and 1; likelihoods need no scorer."""
    return facts.get("yes_or_no") is False and mode_of(config) == "generate"


def _number(facts: Any, key: str, default: Default) -> float | Default:
    value = facts.get(key)
    return float(value) if isinstance(value, int | float) else default


def _progress(folder: Path, log: list[dict[str, Any]]) -> str:
    """Return the progress of a method whose predictions are not complete."""
    if parts := len(list((folder / "predictions").glob("*.parquet"))):
        return f"{counted(parts, 'test prompts')} answered so far"
    if (folder / "adapter").is_dir():
        return "trained, no test prompt answered yet"
    return f"training stopped at step {log[-1]['step']}" if log else "not started"
