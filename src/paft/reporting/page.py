"""Write one self-contained HTML page about one or several runs; it works offline."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import yaml

from paft import __version__
from paft.errors import UserError
from paft.prompts.traits import PromptTraits
from paft.reporting.answers import Answers, cut, encode
from paft.reporting.matrix import FIGURES, matrix_of, unlike
from paft.reporting.page_multi_run import WHOLE_PAGE, Room, example_numbers, pack, pairs_data, room_for
from paft.reporting.results import MethodResult, RunResult
from paft.reporting.rewards import has_rewards, kept_in_words, reward_curves
from paft.reporting.sentences import (
    answers_by,
    baselines,
    by_label,
    compared_cells,
    difference_intervals,
    differences_in_words,
    disagreement,
    estimated,
    failures,
    is_uneven,
    sentence,
    shown_majority,
    size,
)
from paft.reporting.tables import (
    BEYOND_THE_SAMPLE,
    Columns,
    beyond_the_sample,
    cells,
    columns,
    other_scores,
    over_seeds,
    run_names,
)
from paft.reporting.trait_effects import Trait, trait_effects
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
    check_own(path)
    write_text(path, render(results, unreadable, path))


def render(results: Sequence[RunResult], unreadable: Sequence[str] = (), path: Path | None = None) -> str:
    """Return the page as HTML.

    Args:
        path: where it will lie, for links to the pages of the runs.
    """
    named = list(zip(results, run_names(results), strict=True))
    tasks = list(dict.fromkeys(result.task for result in results))
    table_columns, matrix = columns(results), matrix_of(results)
    return from_template(
        "page.html",
        title=" and ".join(filter(None, (", ".join(tasks[:-1]), *tasks[-1:]))) or "paft",
        several=len(results) > 1,
        matrix=matrix,
        unlike=unlike(results),
        pairs=list(zip(*(matrix.table(figure)[1:] for figure in FIGURES), strict=True)) if matrix else [],
        runs=[
            _head(result, table_columns) | {"name": name, "link": _link(path, result)} for result, name in named
        ],
        header=[name.replace("if read", "if\u00a0read") for name in table_columns],
        measure="accuracy" if all(result.is_binary for result in results) else "score",
        sample=beyond_the_sample(results),
        sample_note=BEYOND_THE_SAMPLE,
        others=other_scores(results),
        intervals=" and ".join(sorted({difference_intervals(r) for r in results if r.differences})),
        unparsed=any(m.failures.unparsed for result in results for m in result.methods),
        seeds=over_seeds(results),
        rewards=any(has_rewards(m) for result in results for m in result.methods),
        unreadable=unreadable,
        scripts=[
            _source(name)
            for name in (
                "base.js",
                "charts.js",
                "rewards.js",
                "explore.js",
                "answers.js",
                "compare.js",
                "page.js",
            )
        ],
        data=island(page_data(results)),
    )


def from_template(name: str, **values: Any) -> str:
    """Return a template of the folder ``page``, filled with values, which it escapes."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {"generator": f"{GENERATOR} {__version__}", "css": _source("page.css")}
    return environment.get_template(name).render(own | values)


def _source(name: str) -> str:
    return (resources.files("paft.reporting") / "page" / name).read_text(encoding="utf-8")


def _link(page: Path | None, result: RunResult) -> str:
    """Return the address of a run's own page, relative to this one; nothing if it is this one or there is none."""
    own = (result.path / "report.html").resolve()
    if page is None or own == page.resolve() or not own.is_file():
        return ""
    return quote(Path(os.path.relpath(own, page.resolve().parent)).as_posix())


def island(data: Any) -> str:
    """Return data as JSON that is safe inside ``<script>`` for any text."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return encodable(text)


def _head(result: RunResult, table_columns: Columns) -> dict[str, Any]:
    """Return the content of the page's first screen, which works without JavaScript."""
    return {
        "task": result.task,
        "model": result.model_in_words,
        "seed": result.seed,
        "sentence": sentence(result),
        "size": size(result) if result.methods else "",
        "answers": answers_by(result),
        "scorers": ", ".join(result.scorers),
        "chance": "" if result.chance is None else f"{result.chance:.0%}",
        "majority": shown_majority(result),
        "baselines": f"{baselines(result)} {by_label(result)}" if is_uneven(result) else "",
        "training": _training(result) if result.trains else "",
        "top": f"{result.top:.0%}",
        "estimated": estimated(result),
        "compared": compared_cells(result),
        "problems": result.problems,
        "failures": [line for line in map(failures, result.methods) if line],
        "kept": [line for line in map(kept_in_words, result.methods) if line],
        "rows": [[unbroken(cell) for cell in cells(method, table_columns)] for method in result.methods],
        "consistency": disagreement(result),
        "differences": differences_in_words(result),
        "command": result.command,
        "digest": result.facts.get("digest", "unknown"),
        "paft": result.facts.get("paft", "unknown"),
        "versions": ", ".join(f"{k} {v}" for k, v in _mapping(result.facts.get("versions")).items()),
        "inputs": ", ".join(f"{k} {v}" for k, v in _mapping(result.facts.get("inputs")).items()),
        "judge_prompt": result.judge_prompt,
        "config": yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True),
    }


def unbroken(cell: str) -> str:
    """Return a cell that wraps before an interval, or else after a comma, only."""
    if "[" in cell:
        return cell.replace(" ", "\u00a0").replace("\u00a0[", " [")
    return ", ".join(part.replace(" ", "\u00a0") for part in cell.split(", "))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _training(result: RunResult) -> str:
    """Return the settings of the training; one that differs between methods with its methods."""
    shared = _mapping(result.config.get("training"))
    own = {entry.get("name"): _mapping(entry.get("training")) for entry in map(_mapping, result.config["methods"])}
    fixed = {name: _mapping(keys) for name, keys in _mapping(result.facts.get("fixed_training")).items()}
    trained = [method for method in result.methods if method.log]
    parts = []
    for key in ("examples", "epochs", "K", "batch_size", "learning_rate", "LoRA on"):
        methods: dict[str, list[str]] = {}  # by the value of the setting
        for method in trained:
            settings = shared | own.get(method.name, {}) | fixed.get(method.name, {})
            settings |= _layers(shared, own.get(method.name, {}))
            if key in settings and (key != "K" or _has_k(method, settings.get("sampler"))):
                methods.setdefault(str(settings[key]), []).append(method.name)
        values = [
            f"{value} ({', '.join(names)})" if len(methods) > 1 else value for value, names in methods.items()
        ]
        if values:
            parts.append(f"{key.replace('_', ' ')} {' and '.join(values)}")
    return ", ".join(parts)


def _layers(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, str]:
    """Return the layers that LoRA changes."""
    modules = (_mapping(shared.get("lora")) | _mapping(own.get("lora"))).get("target_modules")
    if not modules:
        return {}
    return {"LoRA on": modules if isinstance(modules, str) else " + ".join(map(str, modules))}


def _has_k(method: MethodResult, sampler: Any) -> bool:
    """Return True if a method drew a new prompt every K steps, as the sampler ``uniform`` does."""
    setting = sampler if isinstance(sampler, dict) else {"name": sampler}
    name = setting.get("over") or setting.get("name") or "uniform"  # dropout is over another sampler
    return name == "uniform" and len({prompt for row in method.log for prompt in row["prompt_ids"]}) > 1


def page_data(results: Sequence[RunResult]) -> dict[str, Any]:
    """Return the data of the page's scripts; on a page of several runs, what few sections need is deflated."""
    room = room_for(results)
    keys = example_numbers(results)
    runs = []
    for result, name, numbers in zip(results, run_names(results), keys, strict=True):
        data = run_data(result, room) | {"name": name, "keys": numbers}
        runs.append(pack(data) if len(results) > 1 else data)
    return {"runs": runs, "pairs": pairs_data(results, keys)}


def run_data(result: RunResult, room: Room = WHOLE_PAGE) -> dict[str, Any]:
    """Return the data of a run for the page's scripts; accuracies are fractions of 1, and no number is NaN."""
    prompts = list(dict.fromkeys(p for m in result.methods for p in m.prompt_ids))
    examples = list(dict.fromkeys(e for m in result.methods for e in m.grid.example_ids))
    answers = encode(
        result.methods,
        prompts,
        examples,
        has_options=result.has_options,
        is_binary=result.is_binary,
        share=room.runs,
        has_outputs=room.has_outputs,
    )
    has_labels = result.labels is not None
    traits = {p: result.traits_of(result.prompts[p]) for p in prompts if p in result.prompts}
    effects = _trait_effects(result, traits)
    trained_on = {prompt for m in result.methods for row in m.log for prompt in row["prompt_ids"]}
    return {
        "task": result.task,
        "measure": result.metric,
        "chance": result.chance,
        "top": result.top,
        "binary": result.is_binary,
        "freeText": not result.has_options,
        "prompts": [_prompt(result, p) | {"traits": traits[p].describe() if p in traits else ""} for p in prompts],
        "examples": [
            _example(result, e, room.longest, has_labels) | {"choices": choices, "right": right}
            for e, choices, right in zip(examples, answers.choices, answers.right, strict=True)
        ],
        "texts": answers.texts,
        "outputsLeftOut": answers.left_out,
        "hasOutputs": room.has_outputs,
        "traits": [asdict(trait) for trait in effects],
        "trainPrompts": {i: cut(p.text) for i, p in result.train_prompts.items() if i in trained_on},
        "methods": [
            _method(m, prompts) | {"rewards": reward_curves(m, result.config)} | _answers(answers, m.name)
            for m in result.methods
        ],
    }


def _trait_effects(result: RunResult, traits: Mapping[str, PromptTraits]) -> list[Trait]:
    """Return the effects of the traits on the methods whose figures are measured, not estimated.

    Args:
        traits: by prompt id.
    """
    measured = [m for m in result.methods if not m.is_estimated]
    scores = {m.name: _in_order(list(traits), m, m.summary.per_prompt) for m in measured}
    return trait_effects(list(traits.values()), scores)


def _answers(answers: Answers, method: str) -> dict[str, Any]:
    """Return the encoded answers of a method."""
    return {
        "cells": answers.cells[method],
        "scores": answers.scores.get(method),
        "finish": answers.finish.get(method),
        "others": answers.other_scores[method],
        "outputs": answers.outputs[method],
        "explanations": answers.explanations[method],
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
        "key": known.content if known else prompt,
        "text": cut(known.text if known else "", 8000),
        "system": cut((known and known.system) or ""),
    }


def _example(result: RunResult, example: str, longest: int, has_labels: bool) -> dict[str, Any]:
    row = result.examples.get(example, {})
    has_options = isinstance(row.get("options"), list) and not has_labels
    targets = row.get("targets")
    return {
        "id": example,
        "fields": [[str(name), cut(text, longest)] for name, text in _mapping(row.get("fields")).items()],
        "options": [cut(option, 500) for option in row["options"]] if has_options else [],
        "targets": [cut(target, 500) for target in targets] if isinstance(targets, list) else [],
    }


def _method(method: MethodResult, prompts: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a method; those per prompt are in the order of ``prompts``."""
    summary, seconds = method.summary, method.grid.seconds
    points, changes = _curve(method.log)
    return {
        "name": method.name,
        "mean": summary.mean,
        "std": summary.std,
        "worst": summary.worst,
        "interval": summary.mean_interval.ends,
        "trainSeconds": method.train_seconds or 0,
        "trainTokens": method.train_tokens,
        "chooseSeconds": method.choosing.get("seconds", 0),
        "chooseTokens": method.choosing.get("tokens_read", 0) + method.choosing.get("tokens_written", 0),
        "evalSeconds": seconds if math.isfinite(seconds) else None,
        "generatedTokens": method.grid.generated_tokens,
        "accuracy": _shares(_in_order(prompts, method, summary.per_prompt)),
        "unread": _shares(_in_order(prompts, method, method.failures.per_prompt_unparsed)),
        "cut": _shares(_in_order(prompts, method, method.failures.per_prompt_cut)),
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


def check_own(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        UserError: there is one that ``paft report`` did not write.
    """
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            start = file.read(1000)
    except (OSError, UnicodeDecodeError):
        start = ""
    if not any(f"{before}{GENERATOR}" in start for before in ('content="', '"generator": "', "<!-- ")):
        raise UserError(f"{path}: this file exists and is not a paft report; choose another --output")
