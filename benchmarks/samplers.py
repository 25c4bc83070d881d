"""Samplers and objectives beside uniform PAFT, at equal seconds of training, on validation prompts and examples.

    python benchmarks/samplers.py --task trec --seeds 0,1
    python benchmarks/samplers.py --task trec --seeds 2,3,4 --arms uniform-k4,mixed-4,dropout-4
    python benchmarks/samplers.py --task trec --summary

The protocol is in docs/log.md. A pilot gives each arm's seconds per step, and its number of training examples
follows from the budget: what uniform PAFT takes for ``--steps`` steps of 8 examples. Validation prompts
are drawn from the bank's training prompts, validation examples from the training examples; no arm trains on them,
and no test prompt or test example is used. A measurement is one line of the results file; the same command
measures what is missing. To measure a run again, remove its line and its folder.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from side_by_side import machine

from paft.config.load import load_config
from paft.prompts.files import load_prompts, write_prompts
from paft.utils.io import append_jsonl, read_jsonl, read_log, write_jsonl, write_text

ROOT = Path(__file__).parent.parent
TASKS = {"trec": ROOT / "examples/trec.yaml", "demo": ROOT / "src/paft/tasks/demo/config.yaml"}
BATCH, LEARNING_RATE = 8, 1e-3
OFF = 0.1
"""The share of the budget by which the seconds of a run may differ."""
PILOT_PROMPTS = 80
"""How many prompts a pilot draws: they differ in length, and so do the seconds of their steps."""


ALL_LINEAR = {"lora": {"target_modules": "all-linear"}}


def _sampler(name: str, prompts: int | None = None, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"sampler": {"name": name, **settings}, "K": 1}
    return found | ({"prompts_per_step": prompts} if prompts else {})


ARMS: dict[str, dict[str, Any]] = {
    "uniform-k4": {"K": 4},
    "uniform-k1": {"K": 1},
    "mixed-2": _sampler("mixed", 2),
    "mixed-4": _sampler("mixed", 4),
    "mixed-8": _sampler("mixed", 8),
    "dropout-4": _sampler("dropout", 4, p=0.2),
    "dropout-8": _sampler("dropout", 8, p=0.2),
    "curriculum-easy": _sampler("curriculum", 4, order="easy-to-hard", examples=2),
    "curriculum-few": _sampler("curriculum", 4, order="few-to-many"),
    "importance-prompt": _sampler("importance", 4, by="prompt"),
    "importance-trait": _sampler("importance", 4, by="trait"),
    "group-dro": _sampler("group-dro", 4),
    "hardest": _sampler("hardest", 4),
    "uniform-k1-calibration": {"K": 1, "objective": "calibration"},
    "uniform-k1-noise": {"K": 1, "prompt_noise": 5},
    "uniform-k4-rate-3e-3": {"K": 4, "learning_rate": 3e-3},
    "uniform-k1-rate-3e-3": {"K": 1, "learning_rate": 3e-3},
    "uniform-k4-all-linear": {"K": 4} | ALL_LINEAR,
    "uniform-k1-all-linear": {"K": 1} | ALL_LINEAR,
    "mixed-4-all-linear": _sampler("mixed", 4) | ALL_LINEAR,
    "mixed-4-consistency": _sampler("mixed", 4) | {"objective": "consistency"},
    "mixed-4-calibration": _sampler("mixed", 4) | {"objective": "calibration"},
    "mixed-4-noise": _sampler("mixed", 4) | {"prompt_noise": 5},
    "dropout-4-consistency": _sampler("dropout", 4, p=0.2) | {"objective": "consistency"},
    "dropout-4-calibration": _sampler("dropout", 4, p=0.2) | {"objective": "calibration"},
    "dropout-4-noise": _sampler("dropout", 4, p=0.2) | {"prompt_noise": 5},
}
FIRST = [name for name in ARMS if not name.endswith(("consistency", "calibration", "noise", "linear", "e-3"))]
SAME_STEPS = {
    "uniform-k4": "uniform-k1",
    "uniform-k4-rate-3e-3": "uniform-k1",
    "uniform-k1-rate-3e-3": "uniform-k1",
    "uniform-k4-all-linear": "uniform-k1-all-linear",
}
"""Arms whose steps are those of another, which draws more prompts in a short run."""


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arms", default=",".join(FIRST))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--steps", type=int, default=125, help="steps of uniform PAFT that give the budget")
    parser.add_argument("--prompts", type=int, default=24, help="validation prompts")
    parser.add_argument("--examples", type=int, default=100, help="validation examples")
    parser.add_argument("--work", type=Path, default=Path("samplers"), help="the folder of the runs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--summary", action="store_true", help="print the table of what is there")
    options = parser.parse_args()
    results = options.results / f"samplers-{options.task}-{options.steps}.jsonl"
    if not options.summary:
        measure(options, results)
    print(table(read_log(results)))


def measure(options: argparse.Namespace, results: Path) -> None:
    """Train and measure each arm with each seed, arms within seeds."""
    arms = options.arms.split(",")
    work = options.work.resolve() / f"{options.task}-{options.steps}"
    config = _validation_config(options, work)
    pilot = {arm: _pilot(config, arm, work) for arm in dict.fromkeys(["uniform-k4", *arms])}
    budget = pilot["uniform-k4"][1] * options.steps
    for seed in map(int, options.seeds.split(",")):
        order = random.Random(seed).sample(arms, len(arms))  # no arm always has the same neighbour
        for arm in order:
            if any((row["arm"], row["seed"]) == (arm, seed) for row in read_log(results)):
                continue
            before, step = pilot[arm]
            examples = BATCH * max(1, round((budget - before) / step))
            folder = work / f"{arm}-{seed}"
            _run(config, arm, folder, seed=seed, examples=examples)
            row = {"arm": arm, "seed": seed, "budget": round(budget, 1)} | _result(folder)
            append_jsonl(results, row | {"machine": machine()})
            if abs(row["seconds"] / budget - 1) > OFF:
                print(
                    f"{arm}, seed {seed}: {row['seconds']} s of {budget:.0f} s; measure it again", file=sys.stderr
                )


def _validation_config(options: argparse.Namespace, work: Path) -> Path:
    """Write the task with validation prompts and examples in place of the test ones; return the config's path."""
    path = work / "config.yaml"
    if path.exists():
        return path
    config = load_config(TASKS[options.task])
    draw = random.Random(0)
    prompts = load_prompts(config.prompts.train or "", "train", 0)
    rows = [row for _, row in read_jsonl(Path(str(config.task.train)))]
    for name, items, held_out in (("prompts", prompts, options.prompts), ("rows", rows, options.examples)):
        indices = set(draw.sample(range(len(items)), held_out))
        parts = {
            "validation": [item for i, item in enumerate(items) if i in indices],
            "training": [item for i, item in enumerate(items) if i not in indices],
        }
        for part, chosen in parts.items():
            write: Any = write_prompts if name == "prompts" else write_jsonl
            work.mkdir(parents=True, exist_ok=True)
            write(work / f"{part}-{name}.jsonl", chosen)
    rows_of = {"train": "training-rows.jsonl", "test": "validation-rows.jsonl"}
    tree = {
        "model": {"path": config.model.path},
        "task": config.task.model_dump(exclude_unset=True) | rows_of,
        "prompts": {"train": "training-prompts.jsonl", "test": "validation-prompts.jsonl"},
        "training": {
            "batch_size": BATCH,
            "learning_rate": LEARNING_RATE,
            "max_length": 512,
            "on_overlength": "drop",
        },
        "evaluation": {"mode": "likelihood", "calibrate": "batch"},
    }
    write_text(path, json.dumps(tree, indent=1))
    return path


def _run(config: Path, arm: str, folder: Path, *settings: str, seed: int, examples: int) -> None:
    """Run ``paft run`` with one arm; more examples than there are become epochs."""
    rows = sum(1 for _ in read_jsonl(config.with_name("training-rows.jsonl")))
    epochs = -(-examples // rows)
    training = ARMS[arm] | {"examples": examples // epochs // BATCH * BATCH, "epochs": epochs}
    methods = json.dumps([{"name": arm, "method": "paft", "training": training}])
    command = [sys.executable, "-m", "paft", "run", str(config), f"methods={methods}", f"seed={seed}", *settings]
    subprocess.run([*command, "--output", str(folder), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def _pilot(config: Path, arm: str, work: Path) -> tuple[float, float]:
    """Return the seconds before the first step and those of each step, from a short run."""
    arm = SAME_STEPS.get(arm, arm)
    folder = work / f"{arm}-pilot"
    if not (folder / "report.json").exists():
        steps = max(20, PILOT_PROMPTS // ARMS[arm].get("prompts_per_step", 1))
        _run(config, arm, folder, "evaluation.examples=2", seed=1000, examples=steps * BATCH)
    first, *others = (row["seconds"] for row in _log(folder))
    step = statistics.median(others)
    return max(0.0, first - 2 * step), step


def _log(folder: Path) -> list[dict[str, Any]]:
    [file] = folder.glob("methods/*/train.jsonl")
    return [row for _, row in read_jsonl(file)]


def _result(folder: Path) -> dict[str, Any]:
    """Return what a run cost, and its accuracies over the validation prompts as its report has them."""
    log = _log(folder)
    [method] = json.loads((folder / "report.json").read_text(encoding="utf-8"))["methods"].values()
    return {
        "steps": len(log),
        "seconds": round(sum(row["seconds"] for row in log), 1),
        "tokens": sum(row["tokens"] for row in log),
        **{name: method[name] for name in ("mean", "std", "worst", "quantile_05", "calibrated", "per_prompt")},
    }


COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "mean": lambda row: row["mean"],
    "Std": lambda row: row["std"],
    "worst": lambda row: row["worst"],
    "calibrated mean": lambda row: row["calibrated"]["mean"],
    "calibrated Std": lambda row: row["calibrated"]["std"],
    "calibrated worst": lambda row: row["calibrated"]["worst"],
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the arms, the highest 5 % quantile first, with the paired difference to uniform PAFT; in %."""
    uniform = {row["seed"]: row["quantile_05"] for row in rows if row["arm"] == "uniform-k4"}
    lines = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        low = [row["quantile_05"] for row in own]
        pairs = [row["quantile_05"] - uniform[row["seed"]] for row in own if row["seed"] in uniform]
        spread = f" ± {100 * statistics.stdev(low):.1f}" if len(low) > 1 else ""
        cells = [
            *(f"{statistics.mean(row[name] for row in own):.0f}" for name in ("steps", "seconds")),
            f"{100 * statistics.mean(low):.1f}{spread}",
            f"{100 * statistics.mean(pairs):+.1f}" if pairs else "",
            *(f"{100 * statistics.mean(map(value, own)):.1f}" for value in COLUMNS.values()),
        ]
        lines[f"| {arm} | {len(own)} | {' | '.join(cells)} |"] = statistics.mean(low)
    titles = ("arm", "seeds", "steps", "seconds", "5 % quantile", "less uniform", *COLUMNS)
    ranked = sorted(lines, key=lines.__getitem__, reverse=True)
    return "\n".join([f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *ranked])


if __name__ == "__main__":
    main()
