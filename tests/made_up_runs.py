"""Made-up run directories of which the answers are known."""

import json

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

from conftest import write_rows
from paft.evaluation.plan import plan_cells
from paft.evaluation.predictions import EXAMPLES, SCHEMA, SECONDS
from paft.reporting.predictions import read_grid
from paft.utils.io import write_text

HOSTILE = "</script><script>window.bad = 1</script><!--<script> \u2028\u2029 &lt;b&gt; <img src=x onerror='window.bad = 2'> {thing}"
LABELS = ["red", "green", "blue"]


LATER = ("comparison_key", "score", "finish", "other_scores", "explanation")
FIRST_SCHEMA = pa.schema([field for field in SCHEMA if field.name not in LATER])
"""The columns of predictions.parquet in runs of the first version."""
TITLES = {"base": "the base model", "user": "the fixed prompt", "paft": "PAFT"}


def make_run(
    path,
    skills,
    prompts=6,
    examples=9,
    outputs=False,
    seed=0,
    texts=(),
    trained=("user", "paft"),
    first=False,
    cut=False,
):
    """Write a run directory: method -> share of right answers of each prompt, the worst prompt first.

    Args:
        outputs: the answers were generated; every second wrong one cannot be read.
        first: write it as the first version did.
        cut: every output that cannot be read was cut at the token limit.
    """
    config = {
        "model": {"path": "fake"}, "task": {"name": "colours", "fields": ["thing"], "choices": LABELS},
        "methods": list(skills), "training": {"epochs": 2, "K": 4}, "seed": seed,
        "evaluation": {"mode": "generate" if outputs else "likelihood"},
        "run": {"top": 0.5, "chance": 1 / 3, "digest": "d1g3st", "paft": "0", "versions": {"torch": "1"},
                "fields": ["thing"], "labels": LABELS, "aliases": {}},
    }  # fmt: skip
    if first:
        config["evaluation"] = {"answers": config["evaluation"]["mode"]}
    else:
        config["run"] |= {"trained": [name for name in skills if name in trained], "method_titles": TITLES}
    write_text(path / "config.yaml", yaml.safe_dump(config))
    known = [*texts, *(f"prompt number {i} for {{thing}}" for i in range(len(texts), prompts))]
    write_rows(path / "prompts/test.jsonl", [{"id": f"p{i}", "text": t} for i, t in enumerate(known)])
    write_rows(path / "prompts/train.jsonl", [{"id": f"t{i}", "text": f"train {i} {{thing}}"} for i in range(5)])
    write_rows(path / "examples.jsonl", [
        {"id": str(e), "fields": {"thing": f"{HOSTILE} thing {e}"}, "options": LABELS, "target": LABELS[e % 3]} for e in range(examples)
    ])  # fmt: skip
    rng = np.random.default_rng(seed)
    for name, skill in skills.items():
        right = rng.random((prompts, examples)) < np.asarray(skill)[:, None]
        other = rng.integers(1, 3, (prompts, examples))
        target = np.tile(np.arange(examples) % 3, (prompts, 1))
        unparsed = outputs & ~right & (other == 2)
        label = np.array(LABELS, dtype=object)
        prediction = np.where(unparsed, None, label[np.where(right, target, (target + other) % 3)]).ravel()
        correct = np.where(unparsed, None, right).ravel()
        size = prompts * examples
        columns = {
            "prompt_id": np.repeat([f"p{i}" for i in range(prompts)], examples), "example_id": np.tile([str(e) for e in range(examples)], prompts),
            "prediction": pa.array(list(prediction), pa.string()), "target": pa.array(list(label[target].ravel()), pa.string()),
            "score": pa.array(right.ravel(), pa.float32()), "correct": pa.array(list(correct), pa.bool_()), "scores": pa.nulls(size, SCHEMA.field("scores").type),
            "output": pa.array([f"I say {p} <b>{i}</b>" if outputs else None for i, p in enumerate(prediction)], pa.string()),
            "generated_tokens": pa.array([4 * outputs] * size, pa.int32()), "finish": pa.array(["length" if cut and u else "stop" if outputs else None for u in unparsed.ravel()], pa.string()),
            "comparison_key": pa.nulls(size, pa.string()), "other_scores": pa.nulls(size, SCHEMA.field("other_scores").type), "explanation": pa.nulls(size, pa.string()),
        }  # fmt: skip
        schema = FIRST_SCHEMA if first else SCHEMA
        table = pa.table({name: columns[name] for name in schema.names}, schema)
        folder = path / "methods" / name
        folder.mkdir(parents=True)
        parquet.write_table(table.replace_schema_metadata({SECONDS: "12.5"}), folder / "predictions.parquet")
        if name in trained:
            write_rows(folder / "train.jsonl", [
                {"step": s, "loss": 2 / s, "seconds": 0.5, "examples": 4, "tokens": 100}
                | ({"prompt_id": f"t{s // 4 % 5}"} if first else {"prompt_ids": [f"t{s // 4 % 5}"]}) for s in range(1, 31)
            ])  # fmt: skip
    return path


CITIES = ["Paris", "the city of Lagos", "Quito", "Hanoi", "Bergen"]
REMARK = "It lies at the river and has been the seat of the government for some three hundred years. "


def make_free_text_run(
    path, skills, prompts=6, examples=10, seed=0, binary=False, judge=False, trained=("user", "paft")
):
    """Write a run directory of a free-text task: method -> mean score of each prompt, roughly.

    Every seventh cell cannot be read, and of these every second was cut; the first example of the first prompt was
    refused. There are two further scorers.

    Args:
        binary: the score is that of exact match, else it is graded.
        judge: the score is that of a language model.
    """
    scorers = ["exact" if binary else "judge" if judge else "f1", "includes", "rouge"]
    config = {
        "model": {"path": "fake"}, "task": {"name": "capitals", "fields": ["country"], "scorer": scorers},
        "methods": list(skills), "seed": seed, "evaluation": {"mode": "generate"},
        "run": {"top": 0.5, "chance": None, "scorers": scorers, "yes_or_no": binary, "digest": "d1g3st", "paft": "0",
                "versions": {"torch": "1"}, "fields": ["country"], "labels": None, "aliases": {},
                "trained": [name for name in skills if name in trained], "method_titles": TITLES},
    }  # fmt: skip
    write_text(path / "config.yaml", yaml.safe_dump(config))
    write_rows(path / "prompts/test.jsonl", [
        {"id": f"p{i}", "text": f"{'Please, ' * (i % 3)}name the capital of {{country}}{':' * (i % 2)}"} for i in range(prompts)
    ])  # fmt: skip
    targets = [[CITIES[e % 5], f"{CITIES[e % 5]} City"] if e % 2 else [CITIES[e % 5]] for e in range(examples)]
    write_rows(path / "examples.jsonl", [
        {"id": str(e), "fields": {"country": f"country number {e}"}, "options": [], "target": t[0], "targets": t} for e, t in enumerate(targets)
    ])  # fmt: skip
    rng = np.random.default_rng(seed)
    for name, skill in skills.items():
        rows = []
        for p, e in np.ndindex(prompts, examples):
            score = float(np.clip(skill[p] + rng.normal(0, 0.25), 0, 1))
            score, refused = float(score > 0.5) if binary else score, p == e == 0
            unread = refused or (p * examples + e) % 7 == 3
            answer = (
                None if unread else targets[e][-1] if score == 1 else f"{targets[e][0]} or {CITIES[(e + 1) % 5]}"
            )
            rows.append({
                "prompt_id": f"p{p}", "example_id": str(e), "prediction": answer, "target": targets[e][0], "scores": None,
                "score": 0.0 if unread else score, "correct": None if unread or not binary else score == 1,
                "output": "" if refused else f"{name} thinks: {REMARK * (1 + e % 9)}\nAnswer: {answer or '???'}",
                "generated_tokens": 40, "finish": "refused" if refused else "length" if unread and e % 2 else "stop",
                "other_scores": [float(not unread), 0.0 if unread else score / 2],
                "explanation": None if unread else f"{score:.2f} of the words",
            })  # fmt: skip
        folder = path / "methods" / name
        folder.mkdir(parents=True)
        table = pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata({SECONDS: "12.5"})
        parquet.write_table(table, folder / "predictions.parquet")
        if judge:
            prompt = f"Grade the answer from 1 to 5.\n{HOSTILE}\nAnswer: {{output}}"
            about = {"model": "grader", "prompt": prompt, "graded_twice": 6, "same": 0.5, "mean_difference": 0.2}
            write_text(folder / "judge.json", json.dumps(about))
        if name in trained:
            write_rows(folder / "train.jsonl", [
                {"step": s, "loss": 2 / s, "seconds": 0.5, "examples": 4, "tokens": 100, "prompt_ids": ["t0"]} for s in range(1, 31)
            ])  # fmt: skip
    return path


def make_rewards(folder, method, steps=60, best=40):
    """Replace the log of a method by one of a training on rewards, measured every 10 steps, the best at one of them."""
    write_rows(folder / "methods" / method / "train.jsonl", [
        {"step": s, "loss": 0.01 * (-1) ** s, "seconds": 2, "examples": 8, "tokens": 900, "prompt_ids": [f"t{s % 5}"],
         "reward": 0.3 + s / 100, "reward_std": 0.45, "flat_groups": 0.5 * (s % 2), "length": 20 - s / 6}
        | ({} if s % 10 else {"eval_reward": 0.7 - abs(s - best) / 100, "best_step": min(s, best)})
        for s in range(1, steps + 1)
    ])  # fmt: skip
    return folder


def make_axes_run(path, effects, examples=40, combinations=120, seed=0):
    """Write a run of axes: axis -> what each of its levels adds to the probability of a right answer, 0.6."""
    rng = np.random.default_rng(seed)
    axes = {name: [f"{name} {i}" for i in range(len(of))] for name, of in effects.items()}
    about = {
        "schema": 1, "task": "colours", "model": "fake", "adapters": [], "seed": seed, "mode": "generate", "scorers": [],
        "axes": axes, "prompts": [{"id": "p0", "text": HOSTILE, "system": None}], "with_system": 0,
        "combinations": combinations, "cells": 10 * combinations, "examples": examples, "depends": {"--cells": 2000},
    }  # fmt: skip
    write_text(path / "axes.json", json.dumps(about))
    hard = rng.normal(0, 0.2, examples)
    rows = []
    for number in range(combinations):
        levels = [int(rng.integers(len(of))) for of in effects.values()]
        chosen = rng.permutation(examples)[:10]
        chance = 0.6 + sum(of[i] for of, i in zip(effects.values(), levels, strict=True)) + hard[chosen]
        scores = (rng.random(10) < chance).astype(float)
        rows.append(
            {"key": str(number), "levels": levels, "examples": [str(e) for e in chosen], "scores": list(scores)}
        )
    write_rows(path / "cells.jsonl", rows)
    return path


def keep_cells(folder, method, share, seed):
    """Leave a share of the cells of a method, as `evaluation.cells` does."""
    path = folder / "methods" / method / "predictions.parquet"
    table, grid = parquet.read_table(path), read_grid(path)
    kept = plan_cells(*grid.scores.shape, round(share * grid.scores.size), seed=seed)
    examples = json.dumps(list(zip(grid.example_ids, grid.targets, strict=True)))
    metadata = (table.schema.metadata or {}) | {EXAMPLES: examples.encode()}
    parquet.write_table(table.filter(pa.array(kept.ravel())).replace_schema_metadata(metadata), path)


SKILLS = {"base": [0.2] * 6, "user": [0, 0.3, 0.6, 0.8, 0.9, 1], "paft": [0.5, 0.8, 0.9, 1, 1, 1]}
