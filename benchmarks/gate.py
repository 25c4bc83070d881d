"""How often `paft gate` decides, and how often it is wrong, over stored grids: an operating curve.

    python benchmarks/gate.py RUN... --questions 400

Each grid of the run directories is asked many times, each time in another order, against thresholds that its
figure misses by a loss: 0 (it just reaches the threshold), 5 or 10 points, or a negative one (it exceeds the
threshold). `--at-least` is tested with each figure. `--no-worse-than` (`paired`) compares every two methods of a
run, with the margin that makes the difference a loss of that size. No model is asked.
"""

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from paft.errors import UserError
from paft.evaluation.metrics import summarise
from paft.evaluation.sequential import (
    LEAST_ROUNDS,
    TESTS,
    Asked,
    MeanTest,
    QuantileTest,
    Verdict,
    balanced_order,
    quantile_looks,
)
from paft.reporting.read import read_run

LOSSES = (0.0, 0.05, 0.1, -0.05, -0.1)
BATCH = 48
"""Questions between two looks, as of `paft gate`."""


def main() -> None:
    """Print a table and write its rows as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--orders", type=int, default=200, help="random orders of each grid")
    parser.add_argument("--figures", nargs="+", default=[*TESTS, "paired"])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    rows = []
    for name, figure, grid, value in grids(options.runs, options.figures):
        rounds = options.questions // grid.shape[0]
        if not LEAST_ROUNDS <= rounds < grid.shape[1]:
            continue  # too many prompts, or the whole grid is asked and nothing can be wrong
        for loss in LOSSES:
            verdicts, asked = repeat(figure, grid, value + loss, rounds, options.orders)
            rows.append(
                {"grid": name, "figure": figure, "size": list(grid.shape), "value": round(value, 4), "loss": loss,
                 "questions": options.questions, "orders": options.orders, "asked": asked}
                | {verdict: verdicts[verdict] / options.orders for verdict in ("fell short", "passed")}
            )  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"gate-{options.questions}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(table(rows))


def grids(runs: list[Path], figures: list[str]) -> Iterator[tuple[str, str, np.ndarray, float]]:
    """Yield name, figure, scores and the figure's value of each grid, and of each difference of two methods.

    The difference is written as a score: (1 + new - baseline) / 2.
    """
    for path in runs:
        try:
            run = read_run(path)
        except UserError as error:
            print(error)
            continue
        found = {method.name: method.grid.scores for method in run.methods if len(method.prompt_ids) > 1}
        for name, grid in found.items():
            summary = summarise(grid, 1.0, is_binary=False)
            for figure in figures:
                if figure != "paired" and 0.1 < summary.mean < 0.99:  # a model that fails or solves the task
                    yield f"{path.name}/{name}", figure, grid, float(getattr(summary, figure))
        for first, second in itertools.combinations(found, 2) if "paired" in figures else ():
            if found[first].shape == found[second].shape:
                scores = (1 + found[second] - found[first]) / 2
                yield f"{path.name}/{first}-{second}", "paired", scores, float(scores.mean())


def repeat(
    figure: str, grid: np.ndarray, threshold: float, rounds: int, orders: int
) -> tuple[Counter[Verdict], float]:
    """Return the verdicts over random orders, and how many questions were asked on average."""
    halved = figure == "paired"  # a loss of 10 points is half of that in a score of differences
    value = float(grid.mean())
    test = MeanTest(value + (threshold - value) / 2) if halved else TESTS[figure](threshold)
    verdicts: Counter[Verdict] = Counter()
    asked = 0
    for seed in range(orders):
        verdict, count = ask(test, grid, rounds, seed)
        verdicts[verdict] += 1
        asked += count
    return verdicts, round(asked / orders, 1)


def ask(test, grid: np.ndarray, rounds: int, seed: int) -> tuple[Verdict, int]:  # type: ignore[no-untyped-def]
    """Return the verdict over one order, and the number of questions."""
    prompts, examples = grid.shape
    chosen = first_rounds(prompts, examples, rounds, seed)
    whole = Asked(grid[np.arange(prompts), chosen], chosen, examples)
    step = max(1, BATCH // prompts)
    looks = quantile_looks(rounds) if isinstance(test, QuantileTest) else [*range(step, rounds, step), rounds]
    for count in looks:
        decision = test.decide(whole.first(count), rounds)
        if decision.verdict != "undecided":
            break
    return decision.verdict, count * prompts


@cache
def first_rounds(prompts: int, examples: int, rounds: int, seed: int) -> np.ndarray:
    """Return the first rounds of an order."""
    return np.array(list(itertools.islice(balanced_order(prompts, examples, seed), rounds)))


def table(rows: list[dict]) -> str:  # type: ignore[type-arg]
    """Return the mean and the worst grid of each figure and loss as Markdown."""
    lines = [
        "| figure | loss | grids | fell short: mean (range), % | passed: mean (range), % | questions |",
        "|---|---|---|---|---|---|",
    ]
    for figure, loss in itertools.product(dict.fromkeys(row["figure"] for row in rows), LOSSES):
        chosen = [row for row in rows if (row["figure"], row["loss"]) == (figure, loss)]
        if chosen:
            columns = [np.array([row[key] for row in chosen]) for key in ("fell short", "passed")]
            shares = [f"{v.mean():.1%} ({v.min():.1%} to {v.max():.1%})" for v in columns]
            asked = np.mean([row["asked"] for row in chosen])
            lines.append(
                f"| {figure} | {loss * 100:+.0f} | {len(chosen)} | {shares[0]} | {shares[1]} | {asked:.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
