"""Compare two commits: the rates of training, scoring and generation that `paft run` reports.

    python benchmarks/commits.py --before ../old --task trec
    python benchmarks/commits.py --before ../old --task hellaswag --examples 64

`--before` is a checkout of the earlier commit. Each round runs both commits, one after the other, each in its own
process. Rates are compared within a round. They do not include loading and start-up.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import ROOT, arguments, machine, write

RATES = {"training": "train_examples_per_second", "answering": "eval_examples_per_second"}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, asks_job=False, task="trec", before="", examples=160, asked=40, prompts=4)
    rates: dict[str, dict[str, list[float]]] = {}
    for turn in range(options.rounds):
        order = [Path(options.before).resolve(), ROOT][:: 1 if turn % 2 else -1]
        for mode in ("likelihood", "generate"):
            for source in order:
                for name, rate in _run(source, options, mode).items():
                    key = name if name == "training" else mode
                    side = "after" if source == ROOT else "before"
                    rates.setdefault(key, {}).setdefault(side, []).append(rate)
                    print(f"round {turn + 1}/{options.rounds} {key} {side}: {rate:.2f}", file=sys.stderr)
    result = {key: _ratio(sides["after"], sides["before"]) | {"rates": sides} for key, sides in rates.items()}
    write(
        options.output / f"commits-{options.task}.json", {"rounds": options.rounds, "machine": machine()} | result
    )
    for key, row in result.items():
        print(f"{key}: {row['median']:.3f} times as fast [{row['low']:.3f}, {row['high']:.3f}]")


def _run(source: Path, options: argparse.Namespace, mode: str) -> dict[str, float]:
    """Return the rates of a run of one method with the task's config of the same commit."""
    key = "mode" if (source / "src/paft/config").is_dir() else "answers"  # the earlier name
    evaluation = f"examples: {options.asked}, {key}: {mode}, max_new_tokens: 16"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "paft", "run", source / "examples" / f"{options.task}.yaml"),
            *("--quiet", "--output", folder, "methods=[paft]", "training.epochs=1"),
            *(f"training.examples={options.examples}", f"evaluation={{{evaluation}}}"),
            f"prompts.test.size={options.prompts}",
        ]
        environment = os.environ | {"PYTHONPATH": str(source / "src")}
        subprocess.run([*map(str, command)], check=True, env=environment, stdout=subprocess.DEVNULL)
        [method] = json.loads((Path(folder) / "report.json").read_text())["methods"].values()
    names = RATES if mode == "likelihood" else {"answering": RATES["answering"]}
    return {name: method[column] for name, column in names.items()}


def _ratio(after: list[float], before: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(after, before, strict=True)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


if __name__ == "__main__":
    main()
