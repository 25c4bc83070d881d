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
from typing import NamedTuple

import numpy as np

from paft.errors import UserError
from paft.evaluation.metrics import summarise
from paft.evaluation.option_effects import OptionScores
from paft.evaluation.sequential import (
    LEAST_ROUNDS,
    TESTS,
    GridSample,
    MeanTest,
    QuantileTest,
    SequentialTest,
    Verdict,
    balanced_order,
)
from paft.evaluation.tail import Tail
from paft.reporting.options import option_scores
from paft.reporting.read import read_run

LOSSES = (0.0, 0.05, 0.1, -0.05, -0.1)


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
    for stored in grids(options.runs, options.figures):
        prompts, examples = stored.scores.shape
        rounds = options.questions // prompts
        if not LEAST_ROUNDS <= rounds < examples:
            continue  # too many prompts, or the whole grid is asked and nothing can be wrong
        bounds.clear()
        for loss in LOSSES:
            verdicts, asked = repeat(stored, loss, rounds, options.orders)
            rows.append(
                {"grid": stored.name, "figure": stored.figure, "size": [prompts, examples],
                 "options": stored.options is not None, "value": round(stored.value, 4), "loss": loss,
                 "questions": options.questions, "orders": options.orders, "asked": asked}
                | {verdict: verdicts[verdict] / options.orders for verdict in ("fell short", "passed")}
            )  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"gate-{options.questions}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(table(rows))


class Stored(NamedTuple):
    """A grid whose figure is tested."""

    name: str
    figure: str
    scores: np.ndarray
    value: float
    options: OptionScores | None = None


def grids(runs: list[Path], figures: list[str]) -> Iterator[Stored]:
    """Yield each complete grid with each figure, and each difference of two methods; copies are left out.

    The difference is written as a score: (1 + new - baseline) / 2.
    """
    seen = set()
    for path in runs:
        try:
            run = read_run(path)
        except UserError as error:
            print(error)
            continue
        methods = {m.name: m.grid for m in run.methods if len(m.prompt_ids) > 1 and m.grid.is_complete}
        for name, grid in methods.items():
            content = (grid.prompt_ids, grid.example_ids, grid.scores.tobytes())
            if content in seen:
                continue
            seen.add(content)
            summary = summarise(grid.scores, 1.0, is_binary=False)
            options = option_scores(grid, run.examples, run.facts.get("targets_are_options"))
            for figure in figures:
                if figure != "paired" and 0.1 < summary.mean < 0.99:  # a model that fails or solves the task
                    value = float(getattr(summary, figure))
                    yield Stored(f"{path.name}/{name}", figure, grid.scores, value, options)
        for first, second in itertools.combinations(methods, 2) if "paired" in figures else ():
            old, new = methods[first].scores, methods[second].scores
            if old.shape == new.shape:
                scores = (1 + new - old) / 2
                yield Stored(f"{path.name}/{first}-{second}", "paired", scores, float(scores.mean()))


bounds: dict[bytes, Tail] = {}
"""Of the cells that one grid's orders ask, at each look: the same for every threshold."""


class RememberedQuantileTest(QuantileTest):
    """Computes the bounds of the same cells once."""

    def bounds(self, sample: GridSample, rounds: int) -> Tail:
        """Return the bounds."""
        cells = sample.examples.tobytes()
        if cells not in bounds:
            bounds[cells] = super().bounds(sample, rounds)
        return bounds[cells]


def repeat(stored: Stored, loss: float, rounds: int, orders: int) -> tuple[Counter[Verdict], float]:
    """Return the verdicts over random orders, and how many questions were asked on average."""
    test: SequentialTest
    if stored.figure == "paired":
        test = MeanTest(stored.value + loss / 2)  # a loss of 10 points is half of that in a score of differences
    elif stored.figure == "quantile_05":
        test = RememberedQuantileTest(stored.value + loss)
    else:
        test = TESTS[stored.figure](stored.value + loss)
    verdicts: Counter[Verdict] = Counter()
    questions = 0
    for seed in range(orders):
        verdict, count = ask(test, stored, rounds, seed)
        verdicts[verdict] += 1
        questions += count
    return verdicts, round(questions / orders, 1)


def ask(test: SequentialTest, stored: Stored, rounds: int, seed: int) -> tuple[Verdict, int]:
    """Return the verdict over one order, and the number of questions."""
    prompts, examples = stored.scores.shape
    chosen = first_rounds(prompts, examples, rounds, seed)
    whole = GridSample(stored.scores[np.arange(prompts), chosen], chosen, examples, stored.options)
    for count in test.looks(prompts, rounds):
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
