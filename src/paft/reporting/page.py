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
from paft.evaluation.metrics import Interval
from paft.prompts.traits import traits_of
from paft.reporting.answers import cut, encode
from paft.reporting.features import trait_effects
from paft.reporting.read import MethodResult, RunResult
from paft.reporting.tables import HEADER, cells, consistency, over_seeds, run_names, sentence
from paft.utils.io import write_text

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
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source("page.html")).render(
        generator=f"{GENERATOR} {__version__}",
        title=" and ".join(dict.fromkeys(result.task for result in results)) or "paft",
        several=len(results) > 1,
        runs=[_head(result) | {"name": name} for result, name in named],
        header=HEADER,
        seeds=over_seeds(results),
        unreadable=unreadable,
        css=source("page.css"),
        scripts=[source(name) for name in ("base.js", "charts.js", "explore.js", "page.js")],
        data=island({"runs": [run_data(result) | {"name": name} for result, name in named]}),
    )


def island(data: Any) -> str:
    """Return data as JSON that is safe inside ``<script>`` for any text."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode()  # UTF-8 cannot encode a lone surrogate


def _head(result: RunResult) -> dict[str, Any]:
    """Return the content of the page's first screen, which works without JavaScript."""
    summary = result.methods[0].summary if result.methods else None
    unparsed = [
        f"{m.name}: {m.summary.unparsed} of {m.summary.prompts * m.summary.examples} answers could not be read; "
        "they score 0"
        for m in result.methods
        if m.summary.unparsed
    ]
    training = result.config.get("training") if isinstance(result.config.get("training"), dict) else {}
    return {
        "task": result.task,
        "model": result.model_in_words,
        "seed": result.config.get("seed", 0),
        "sentence": sentence(result).replace(" ± ", "\u00a0±\u00a0"),
        "size": f"{summary.prompts} {result.test_prompts} x {summary.examples} test examples" if summary else "",
        "answers": "likelihood of the options" if result.mode == "likelihood" else "generation",
        "chance": f"{result.chance:.0%}",
        "training": _training(training) if result.trains else "",
        "top": f"{result.top:.0%}",
        "problems": result.problems + unparsed,
        "rows": [cells(method) for method in result.methods],
        "consistency": consistency(result),
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
        "config": yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True),
    }


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
    grids = {m.name: m.grid for m in result.methods}
    prompts = list(dict.fromkeys(p for g in grids.values() for p in g.prompt_ids))
    examples = list(dict.fromkeys(e for g in grids.values() for e in g.example_ids))
    answers = encode(grids, prompts, examples)
    accuracy = {m.name: _in_order(prompts, m) for m in result.methods}
    known = [result.prompts[p] for p in prompts if p in result.prompts]
    prompt_traits = {prompt.id: traits_of(prompt, *_task_slots(result)) for prompt in known}
    kept = [i for i, p in enumerate(prompts) if p in prompt_traits]
    effects = trait_effects(
        [prompt_traits[prompts[i]] for i in kept], {name: values[kept] for name, values in accuracy.items()}
    )
    trained_on = {prompt for m in result.methods for row in m.log for prompt in row["prompt_ids"]}
    return {
        "task": result.task,
        "chance": result.chance,
        "top": result.top,
        "prompts": [
            _prompt(result, p) | {"traits": prompt_traits[p].describe() if p in prompt_traits else ""}
            for p in prompts
        ],
        "examples": [_example(result, e, choices) for e, choices in zip(examples, answers.choices, strict=True)],
        "texts": answers.texts,
        "outputsLeftOut": answers.left_out,
        "traits": [asdict(trait) for trait in effects],
        "trainPrompts": {i: cut(p.text) for i, p in result.train_prompts.items() if i in trained_on},
        "methods": [
            _method(m, result.title(m.name))
            | {
                "accuracy": [None if math.isnan(a) else round(float(a), 6) for a in accuracy[m.name]],
                "cells": answers.cells[m.name],
                "outputs": answers.outputs[m.name],
            }
            for m in result.methods
        ],
    }


def _in_order(prompts: Sequence[str], method: MethodResult) -> np.ndarray:
    """Return a method's accuracies in the order of ``prompts``, NaN for prompts it was not evaluated on."""
    accuracies = dict(zip(method.prompt_ids, method.summary.per_prompt, strict=True))
    return np.array([accuracies.get(prompt, math.nan) for prompt in prompts])


def _task_slots(result: RunResult) -> tuple[list[str], list[str] | None, dict[str, str]]:
    """Return the task's columns, its fixed labels if it has some, and the aliases of its slots."""
    task, facts = result.config["task"], result.facts
    fields = facts.get("fields") or task.get("fields") or []
    labels = facts.get("labels") or (task.get("choices") if isinstance(task.get("choices"), list) else None)
    return list(map(str, fields)), list(map(str, labels)) if labels else None, _mapping(facts.get("aliases"))


def _prompt(result: RunResult, prompt: str) -> dict[str, Any]:
    known = result.prompts.get(prompt)
    return {
        "id": prompt,
        "text": cut(known.text if known else "", 8000),
        "system": cut((known and known.system) or ""),
    }


def _example(result: RunResult, example: str, choices: list[str]) -> dict[str, Any]:
    row = result.examples.get(example, {})
    fields = [[str(name), cut(text)] for name, text in _mapping(row.get("fields")).items()]
    has_options = isinstance(row.get("options"), list) and _task_slots(result)[1] is None
    options = [cut(option, 500) for option in row["options"]] if has_options else []
    return {"id": example, "fields": fields, "options": options, "choices": choices}


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
        "unparsed": summary.unparsed,
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
