"""Two settings over paired seeds: the difference of their accuracies on the same prompts and examples.

    python benchmarks/paired.py --first runs/k4-0 runs/k4-1 --second runs/k1-0 runs/k1-1

The runs of both sides are paired in their order; each has one method. The p value is that of Wilcoxon's
signed-rank test over prompts of the difference averaged over seeds; the interval is the 95 % bootstrap interval
over seeds, prompts and examples.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paft.evaluation.paired import signed_rank
from paft.reporting.predictions import Grid, read_grid

DRAWS = 4000


def main() -> None:
    """Print the table of the seeds, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("--first", "--second"):
        parser.add_argument(side, nargs="+", type=Path, required=True, metavar="RUN")
    options = parser.parse_args()
    first, second = (grids(runs) for runs in (options.first, options.second))
    if first.shape != second.shape:
        raise SystemExit(f"--first has the grids {first.shape}, --second {second.shape}; each seed needs both")
    print("| seed | first | worst | second | worst |\n|---|---|---|---|---|")
    for name, pair in [*((str(i), [side[[i]] for side in (first, second)]) for i in range(len(first))),
                       ("mean", [first, second])]:  # fmt: skip
        print(f"| {name} | {' | '.join(cell for side in pair for cell in cells(side))} |")
    difference = 100 * (second - first)
    of_prompts = difference.mean(axis=(0, 2))
    low, high = np.quantile(resampled(difference), [0.025, 0.975])
    print(
        f"second less first: {difference.mean():+.1f} [{low:.1f}, {high:.1f}], higher under "
        f"{(of_prompts > 0).sum()} of {len(of_prompts)} prompts, p = {signed_rank(of_prompts):.2g}"
    )


def grids(runs: Sequence[Path]) -> np.ndarray:
    """Return the scores of the runs' only methods, ``(runs, prompts, examples)``, from 0 to 1."""
    read: list[Grid] = []
    for run in runs:
        files = list(run.glob("methods/*/predictions.parquet"))
        if len(files) != 1:
            raise SystemExit(f"{run}: {len(files)} methods are measured, one is needed")
        read.append(read_grid(files[0]))
    if len({(grid.prompt_ids, grid.example_ids) for grid in read}) > 1:
        raise SystemExit("the runs have different prompts or examples")
    return np.stack([grid.scores for grid in read])


def cells(scores: np.ndarray) -> list[str]:
    """Return mean ± Std over prompts, and the worst prompt, averaged over the seeds."""
    of_prompts = 100 * scores.mean(axis=2)
    spread = of_prompts.std(axis=1, ddof=1).mean()
    return [f"{of_prompts.mean():.1f} ± {spread:.1f}", f"{of_prompts.min(axis=1).mean():.1f}"]


def resampled(difference: np.ndarray) -> np.ndarray:
    """Return the means of bootstrap samples over seeds, prompts and examples, ``(DRAWS,)``."""
    rng = np.random.default_rng(0)
    return np.array(
        [
            difference[np.ix_(*(rng.integers(size, size=size) for size in difference.shape))].mean()
            for _ in range(DRAWS)
        ]
    )


if __name__ == "__main__":
    main()
