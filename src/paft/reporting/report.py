"""Write ``report.json``, ``report.md``, the page and the figure of a run."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paft.errors import UserError
from paft.evaluation.intervals import Interval
from paft.reporting.axes import is_axes_run
from paft.reporting.figure import write_figure
from paft.reporting.formatting import bracket, markdown_table
from paft.reporting.page import write_page
from paft.reporting.read import read_run
from paft.reporting.results import MethodResult, RunResult
from paft.reporting.rewards import kept_in_words, kept_step
from paft.reporting.sentences import (
    answers_by,
    baselines,
    by_label,
    compared_cells,
    difference_intervals,
    disagreement,
    estimated,
    failures,
    is_uneven,
    sentence,
    size,
)
from paft.reporting.tables import BEYOND_THE_SAMPLE, beyond_the_sample, cells, columns, other_scores
from paft.utils.io import write_text

SCHEMA = 2
OTHERS = "Other scores, mean ± Std over the prompts, in %"


def write_report(path: Path) -> RunResult:
    """Write the report of a run into its directory; it lists unfinished methods and damaged files.

    Raises:
        UserError: it is no run directory, or one of `paft evaluate --axes`, whose report is another.
    """
    if is_axes_run(path):
        raise UserError(f"{path}: a run with --axes is compared with others of its kind only")
    result = read_run(path)
    write_result(result)
    return result


def write_result(result: RunResult) -> None:
    """Write the report of a run that was read."""
    path = result.path
    write_text(path / "report.json", json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
    write_text(path / "report.md", as_markdown(result))
    if result.methods:
        write_figure(result, path / "figures")
    write_page(path / "report.html", [result])


def as_json(result: RunResult) -> dict[str, Any]:
    """Return the content of ``report.json``; ``docs/report.md`` explains each key."""
    return {
        "schema": SCHEMA,
        "task": result.task,
        "model": result.model,
        "seed": result.seed,
        "scorers": result.scorers,
        "yes_or_no": result.is_binary,
        "chance": result.chance,
        "majority": result.majority,
        "top_threshold": result.top,
        "calibration": result.calibration,
        "unfinished": list(result.unfinished),
        "damaged": result.damaged,
        "methods": {method.name: method_json(method) for method in result.methods},
        "differences": [
            {
                "methods": [d.first, d.second],
                "difference": d.difference,
                "interval": d.interval.ends,
                "p": d.p,
                "differ": d.differ,
                "cells": d.cells,
            }
            for d in result.differences
        ],
    }


def method_json(method: MethodResult) -> dict[str, Any]:
    """Return a method's metrics, with the keys of ``report.json``."""
    s, f, kept = method.summary, method.failures, kept_step(method.log)
    return {
        "mean": s.mean,
        "std": s.std,
        "top": s.top,
        "worst": s.worst,
        "best": s.best,
        "mean_interval": ends(s.mean_interval),
        "std_interval": ends(s.std_interval),
        "top_interval": ends(s.top_interval),
        "disagreement": s.disagreement,
        "right_under_all": s.right_under_all,
        "right_under_all_interval": ends(s.right_under_all_interval),
        "std_noise_free": s.std_noise_free,
        "std_noise_free_interval": ends(s.std_noise_free_interval),
        "quantile_05": s.quantile_05,
        "quantile_05_interval": ends(s.quantile_05_interval),
        "worst_of_20": s.worst_of_20,
        "worst_of_20_interval": ends(s.worst_of_20_interval),
        "consistency": s.consistency,
        "consistency_interval": ends(s.consistency_interval),
        "balanced_accuracy": method.balanced_accuracy,
        "per_label": method.per_label,
        "unparsed": f.unparsed,
        "cut": f.cut,
        "refused": f.refused,
        "errors": f.errors,
        "parsed_accuracy": f.parsed_accuracy,
        "calibrated": None if method.calibrated is None else asdict(method.calibrated),
        "judge": {key: value for key, value in method.judge.items() if key != "prompt"} or None,
        "other_scores": {name: asdict(score) for name, score in method.other_scores.items()},
        "prompts": s.prompts,
        "examples": s.examples,
        "cells": {"answered": method.answered, "of": method.grid.answered.size, "estimated": method.is_estimated},
        "whole_grid_intervals": method.estimate
        and {name: ends(interval) for name, interval in method.estimate.intervals.items()},
        "per_prompt": dict(zip(method.prompt_ids, s.per_prompt, strict=True)),
        "per_prompt_unparsed": dict(zip(method.prompt_ids, f.per_prompt_unparsed, strict=True)),
        "per_prompt_cut": dict(zip(method.prompt_ids, f.per_prompt_cut, strict=True)),
        "kept_step": kept and asdict(kept),
        "train_seconds": method.train_seconds,
        "train_examples_per_second": method.train_examples_per_second,
        "eval_seconds": finite(method.grid.seconds),
        "eval_examples_per_second": finite(method.eval_examples_per_second),
        "generated_tokens": method.grid.generated_tokens,
    }


def ends(interval: Interval | None) -> list[float] | None:
    """Return an interval as ``report.json`` has it."""
    return None if interval is None else interval.ends


def finite(value: float) -> float | None:
    """Return None for NaN, which JSON cannot represent; a run that did not record a value has NaN."""
    return value if math.isfinite(value) else None


def as_markdown(result: RunResult) -> str:
    """Return ``report.md``."""
    lines = [f"# {result.task}: how much the wording of the prompt matters", "", sentence(result), ""]
    if result.unfinished:
        lines += [f"Not finished: {', '.join(result.unfinished)}. Run the same command again to resume.", ""]
    if result.damaged:
        lines += [*(f"- {name}: {why}" for name, why in result.damaged.items()), ""]
    if result.methods:
        lines += [
            *table(result),
            "",
            *_beyond_the_sample(result),
            *_others(result),
            f"{_capitalise(result.metric)} in % on {size(result)}, answers by {answers_by(result)}. "
            "Brackets show 95 % intervals: bootstrap over prompts and examples for the mean, chi-square for Std, "
            f"the standard deviation over prompts. Top is the share of prompts at {result.top:.0%} or more. "
            f"{baselines(result)}".rstrip(),
            "",
            *([estimated(result), ""] if estimated(result) else []),
            *([by_label(result), ""] if is_uneven(result) else []),
            *_failures(result),
            *_kept_steps(result),
            *([disagreement(result), ""] if disagreement(result) else []),
            f"![{_capitalise(result.metric)} over prompts per method](figures/accuracy.svg)",
            "",
            *_differences(result),
            *_extremes(result),
        ]
    run = result.facts
    versions = ", ".join(f"{name} {version}" for name, version in dict(run.get("versions") or {}).items())
    lines += [
        "## How to reproduce",
        "",
        f"`{result.command}` with the `config.yaml` of this folder (digest {run.get('digest', 'unknown')}); "
        f"model {result.model_in_words}, seed {result.seed}, paft {run.get('paft')}, {versions}.",
        "",
        *_judge(result),
    ]
    return "\n".join(lines)


def table(result: RunResult) -> list[str]:
    """Return the methods as the lines of a Markdown table."""
    table_columns = columns([result])
    return markdown_table(list(table_columns), [cells(method, table_columns) for method in result.methods])


def _beyond_the_sample(result: RunResult) -> list[str]:
    """Return the table of the figures that do not depend on how many prompts and examples were taken."""
    rows = beyond_the_sample([result])
    return [*markdown_table(rows[0], rows[1:]), "", BEYOND_THE_SAMPLE, ""] if rows else []


def _others(result: RunResult) -> list[str]:
    """Return the table of the further scorers."""
    rows = other_scores([result])
    return [f"{OTHERS}:", "", *markdown_table(rows[0], rows[1:]), ""] if rows else []


def _failures(result: RunResult) -> list[str]:
    lines = [f"- {line}" for line in map(failures, result.methods) if line]
    return [*lines, ""] if lines else []


def _kept_steps(result: RunResult) -> list[str]:
    lines = [f"- {line}" for line in map(kept_in_words, result.methods) if line]
    return [*lines, ""] if lines else []


def _judge(result: RunResult) -> list[str]:
    """Return the prompt of the judge, if a language model judged the answers."""
    if not result.judge_prompt:
        return []
    prompt = [f"    {line}" for line in result.judge_prompt.splitlines()]
    return ["The judge was asked:", "", *prompt, "", *map(judged_twice, filter(_has_judge, result.methods)), ""]


def _has_judge(method: MethodResult) -> bool:
    return bool(method.judge.get("graded_twice"))


def judged_twice(method: MethodResult) -> str:
    """Return a sentence on how far the judge of a method agrees with itself."""
    judge = method.judge
    return (
        f"{method.name}: the judge {judge['model']} graded {judge['graded_twice']:,} answers twice, "
        f"{judge['same']:.0%} with the same grade."
    )


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _differences(result: RunResult) -> list[str]:
    """Return the section that compares the methods."""
    if not result.differences:
        return []
    rows = [
        (
            f"{d.second} - {d.first}",
            f"{d.difference * 100:+.1f} {bracket(d.interval)}",
            f"{d.p:.2g}",
            "yes" if d.differ else "no",
        )
        for d in result.differences
    ]
    return [
        "## Do they differ?",
        "",
        *markdown_table(("Methods", "Points", "p", "Beyond chance"), rows),
        "",
        f"Both methods are evaluated on the same prompts and examples{compared_cells(result)}. Brackets show 95 % "
        f"{difference_intervals(result)} over prompts and examples. p: Wilcoxon's signed-rank test over prompts, "
        "Holm-corrected. Beyond chance: both the interval and the test find a difference at the 5 % level.",
        "",
    ]


def _extremes(result: RunResult) -> list[str]:
    """Return the section with the worst prompt of each method."""
    lines = ["## Worst prompts", ""]
    for method in result.methods:
        worst = min(range(len(method.prompt_ids)), key=method.summary.per_prompt.__getitem__)
        prompt = result.prompts.get(method.prompt_ids[worst])
        text = "\n".join(filter(None, (prompt.system, prompt.text))) if prompt else ""
        share = method.failures.per_prompt_unparsed[worst]
        unparsed = f" ({share:.1%} unparsed)" if share else ""
        unparsed += " (estimated)" * method.is_estimated
        lines += [
            f"{method.name}, {method.summary.per_prompt[worst]:.1%}{unparsed}, prompt {method.prompt_ids[worst]}:",
            "",
            *(f"    {line}" for line in text.splitlines()),
            "",
        ]
    return lines
