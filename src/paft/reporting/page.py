"""Write one self-contained HTML page about one or several runs; it works offline."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from paft import __version__
from paft.errors import UserError
from paft.evaluation.intervals import Interval
from paft.reporting.answers import cut, encode
from paft.reporting.features import trait_effects
from paft.reporting.read import MethodResult, RunResult
from paft.reporting.tables import (
    BEYOND_THE_SAMPLE,
    Columns,
    answers_by,
    baselines,
    beyond_the_sample,
    by_label,
    cells,
    columns,
    compared_cells,
    difference_intervals,
    disagreement,
    estimated,
    failures,
    is_uneven,
    other_scores,
    over_seeds,
    run_names,
    sentence,
    size,
)
from paft.utils.io import encodable, write_text

GENERATOR = "paft report"
CURVE_POINTS = 600
"""The maximum number of points of a training curve; each point is the mean of consecutive log rows."""


def write_page(path: Path, results: Sequence[RunResult], unreadable: Sequence[str] = ()) -> None:
    """Write the page.

    Args:
        unreadable: one line for each run directory that could not be read; the page shows these lines.

    Raises:
        UserError: ``path`` exists and is not a page that paft wrote.
    """
    if path.exists() and not _is_page(path):
        raise UserError(f"{path}: this file exists and is not a paft report; choose another --output")
    write_text(path, render(results, unreadable))


def render(results: Sequence[RunResult], unreadable: Sequence[str] = ()) -> str:
    """Return the page as HTML."""
    folder = resources.files("paft.reporting") / "page"

    def source(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    named = list(zip(results, run_names(results), strict=True))
    shown = columns(results)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source("page.html")).render(
        generator=f"{GENERATOR} {__version__}",
        title=" and ".join(dict.fromkeys(result.task for result in results)) or "paft",
        several=len(results) > 1,
        runs=[_head(result, shown) | {"name": name} for result, name in named],
        header=[name.replace("if read", "if\u00a0read") for name in shown],
        measure="accuracy" if all(result.is_binary for result in results) else "score",
        sample=beyond_the_sample(results),
        sample_note=BEYOND_THE_SAMPLE,
        others=other_scores(results),
        intervals=" and ".join(sorted({difference_intervals(r) for r in results if r.differences})),
        unparsed=any(m.failures.unparsed for result in results for m in result.methods),
        seeds=over_seeds(results),
        unreadable=unreadable,
        css=source("page.css"),
        scripts=[source(name) for name in ("base.js", "charts.js", "explore.js", "answers.js", "page.js")],
        data=island({"runs": [run_data(result) | {"name": name} for result, name in named]}),
    )


def island(data: Any) -> str:
    """Return data as JSON that is safe inside ``<script>`` for any text."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return encodable(text)


def _head(result: RunResult, shown: Columns) -> dict[str, Any]:
    """Return the content of the page's first screen, which works without JavaScript."""
    training = result.config.get("training") if isinstance(result.config.get("training"), dict) else {}
    return {
        "task": result.task,
        "model": result.model_in_words,
        "seed": result.config.get("seed", 0),
        "sentence": sentence(result).replace(" ± ", "\u00a0±\u00a0"),
        "size": size(result) if result.methods else "",
        "answers": answers_by(result),
        "scorers": ", ".join(result.scorers),
        "chance": "" if result.chance is None else f"{result.chance:.0%}",
        "majority": f"{result.majority:.0%}" if result.labels and result.majority is not None else "",
        "baselines": f"{baselines(result)} {by_label(result)}" if is_uneven(result) else "",
        "training": _training(training) if result.trains else "",
        "top": f"{result.top:.0%}",
        "estimated": estimated(result),
        "compared": compared_cells(result),
        "problems": result.problems,
        "failures": [line for line in map(failures, result.methods) if line],
        "rows": [[_unbroken(cell) for cell in cells(method, shown)] for method in result.methods],
        "consistency": disagreement(result),
        "differences": [
            f"{_capitalise(result.title(d.second))} {_comparison(d.difference)} "
            f"{result.title(d.first)} by {abs(d.difference) * 100:.1f} points "
            f"[{_points(d.interval, d.difference < 0)}], {_p(d.p)}: "
            f"{'a significant difference' if d.differ else 'no significant difference'}"
            for d in result.differences
        ],
        "command": result.command,
        "digest": result.facts.get("digest", "unknown"),
        "paft": result.facts.get("paft", "unknown"),
        "versions": ", ".join(f"{k} {v}" for k, v in _mapping(result.facts.get("versions")).items()),
        "inputs": ", ".join(f"{k} {v}" for k, v in _mapping(result.facts.get("inputs")).items()),
        "judge_prompt": result.judge_prompt,
        "config": yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True),
    }


def _unbroken(cell: str) -> str:
    """Return a cell that wraps after a comma only."""
    return ", ".join(part.replace(" ", "\u00a0") for part in cell.split(", "))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _training(training: Any) -> str:
    keys = ("examples", "epochs", "K", "batch_size", "learning_rate")
    return ", ".join(f"{key.replace('_', ' ')} {training[key]}" for key in keys if key in training)


def _points(interval: Interval, negate: bool) -> str:
    low, high = (-interval.high, -interval.low) if negate else (interval.low, interval.high)
    return f"{low * 100:.1f}, {high * 100:.1f}"


def _p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def _comparison(difference: float) -> str:
    return "is above" if difference > 0 else "is below" if difference < 0 else "differs from"


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def run_data(result: RunResult) -> dict[str, Any]:
    """Return the data of a run for the page's scripts; accuracies are fractions of 1, and no number is NaN."""
    prompts = list(dict.fromkeys(p for m in result.methods for p in m.prompt_ids))
    examples = list(dict.fromkeys(e for m in result.methods for e in m.grid.example_ids))
    answers = encode(
        result.methods, prompts, examples, has_options=result.has_options, is_binary=result.is_binary
    )  # fmt: skip
    accuracy = {m.name: _in_order(prompts, m, m.summary.per_prompt) for m in result.methods}
    known = [result.prompts[p] for p in prompts if p in result.prompts]
    traits = {prompt.id: result.traits_of(prompt) for prompt in known}
    kept = [i for i, p in enumerate(prompts) if p in traits]
    measured = {m.name: accuracy[m.name][kept] for m in result.methods if m.estimate is None}
    effects = trait_effects([traits[prompts[i]] for i in kept], measured)
    trained_on = {prompt for m in result.methods for row in m.log for prompt in row["prompt_ids"]}
    return {
        "task": result.task,
        "chance": result.chance,
        "top": result.top,
        "binary": result.is_binary,
        "freeText": not result.has_options,
        "prompts": [_prompt(result, p) | {"traits": traits[p].describe() if p in traits else ""} for p in prompts],
        "examples": [
            _example(result, e) | {"choices": choices, "right": right}
            for e, choices, right in zip(examples, answers.choices, answers.right, strict=True)
        ],
        "texts": answers.texts,
        "outputsLeftOut": answers.left_out,
        "traits": [asdict(trait) for trait in effects],
        "trainPrompts": {i: cut(p.text) for i, p in result.train_prompts.items() if i in trained_on},
        "methods": [
            _method(m, result.title(m.name))
            | {
                "accuracy": _shares(accuracy[m.name]),
                "unread": _shares(_in_order(prompts, m, m.failures.per_prompt_unparsed)),
                "cut": _shares(_in_order(prompts, m, m.failures.per_prompt_cut)),
                "cells": answers.cells[m.name],
                "scores": answers.scores.get(m.name),
                "finish": answers.finish.get(m.name),
                "others": answers.other_scores[m.name],
                "outputs": answers.outputs[m.name],
                "explanations": answers.explanations[m.name],
            }
            for m in result.methods
        ],
    }


def _in_order(prompts: Sequence[str], method: MethodResult, values: Sequence[float]) -> np.ndarray:
    """Return a method's values in the order of ``prompts``, NaN for prompts it was not evaluated on."""
    by_prompt = dict(zip(method.prompt_ids, values, strict=True))
    return np.array([by_prompt.get(prompt, math.nan) for prompt in prompts])


def _shares(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 6) for value in values]


def _prompt(result: RunResult, prompt: str) -> dict[str, Any]:
    known = result.prompts.get(prompt)
    return {
        "id": prompt,
        "text": cut(known.text if known else "", 8000),
        "system": cut((known and known.system) or ""),
    }


def _example(result: RunResult, example: str) -> dict[str, Any]:
    row = result.examples.get(example, {})
    has_options = isinstance(row.get("options"), list) and result.labels is None
    targets = row.get("targets")
    return {
        "id": example,
        "fields": [[str(name), cut(text)] for name, text in _mapping(row.get("fields")).items()],
        "options": [cut(option, 500) for option in row["options"]] if has_options else [],
        "targets": [cut(target, 500) for target in targets] if isinstance(targets, list) else [],
    }


def _method(method: MethodResult, label: str) -> dict[str, Any]:
    summary, seconds = method.summary, method.grid.seconds
    points, changes = _curve(method.log)
    return {
        "name": method.name,
        "label": label,
        "mean": summary.mean,
        "std": summary.std,
        "worst": summary.worst,
        "interval": [summary.mean_interval.low, summary.mean_interval.high],
        "trainSeconds": method.train_seconds or 0,
        "trainTokens": method.train_tokens,
        "chooseSeconds": method.choosing.get("seconds", 0),
        "chooseTokens": method.choosing.get("tokens_read", 0) + method.choosing.get("tokens_written", 0),
        "evalSeconds": seconds if math.isfinite(seconds) else None,
        "generatedTokens": method.grid.generated_tokens,
        "curve": points,
        "changes": changes,
    }


def _curve(log: Sequence[dict[str, Any]]) -> tuple[list[list[float]], list[list[Any]]]:
    """Return ``[step, mean loss]`` of each point, and ``[step, prompt ids]`` of each change of prompts."""
    rows = [row for row in log if math.isfinite(row["loss"])]
    size = math.ceil(len(rows) / CURVE_POINTS) or 1
    pieces = [rows[i : i + size] for i in range(0, len(rows), size)]
    points = [[p[-1]["step"], round(sum(row["loss"] for row in p) / len(p), 5)] for p in pieces]
    changes: list[list[Any]] = []
    for row in log:
        if row["prompt_ids"] and (not changes or changes[-1][1] != row["prompt_ids"]):
            changes.append([row["step"], row["prompt_ids"]])
    return points, changes


def _is_page(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return f'content="{GENERATOR}' in file.read(1000)
    except (OSError, UnicodeDecodeError):
        return False
