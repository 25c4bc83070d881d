"""Two settings over paired seeds: the difference of their accuracies on the same prompts and examples.

    python benchmarks/paired.py --first runs/k4-0 runs/k4-1 --second runs/k1-0 runs/k1-1
    python benchmarks/paired.py --first runs/0:paft runs/1:paft --second runs/0:paft-k1 runs/1:paft-k1

The runs of both sides are paired in their order; ``:METHOD`` follows a run of several methods. The interval is the
95 % bootstrap interval over seeds, prompts and examples. Where all runs have the same prompts, the p value is that
of Wilcoxon's signed-rank test over prompts of the difference averaged over seeds. Where each seed has prompts and
examples of its own, they are drawn within the drawn seeds, and there is no p value: prompts of one seed share its
adapters.
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
        parser.add_argument(side, nargs="+", required=True, metavar="RUN")
    options = parser.parse_args()
    first, second = (grids(runs) for runs in (options.first, options.second))
    if [ids(grid) for grid in first] != [ids(grid) for grid in second]:
        raise SystemExit("--first and --second differ in their prompts or examples; each seed needs both")
    print("| seed | first | worst | second | worst |\n|---|---|---|---|---|")
    sides = [[grid.scores for grid in side] for side in (first, second)]
    for name, pair in [*((str(i), [[side[i]] for side in sides]) for i in range(len(first))), ("mean", sides)]:
        print(f"| {name} | {' | '.join(cell for side in pair for cell in cells(side))} |")
    differences = [100 * (b - a) for a, b in zip(*sides, strict=True)]
    low, high = np.quantile(resampled(differences, crossed := len({*map(ids, first)}) == 1), [0.025, 0.975])
    of_prompts = (np.mean if crossed else np.concatenate)([difference.mean(1) for difference in differences], 0)
    mean = np.mean([difference.mean() for difference in differences])
    print(
        f"second less first: {mean:+.1f} [{low:.1f}, {high:.1f}], "
        f"higher under {(of_prompts > 0).sum()} of {len(of_prompts)} prompts"
        + (f", p = {signed_rank(of_prompts):.2g}" if crossed else "")
    )


def grids(runs: Sequence[str]) -> list[Grid]:
    """Return the grid of each run's method, in the order of the runs."""
    found = []
    for run in runs:
        folder, _, method = run.partition(":")
        files = list(Path(folder).glob(f"methods/{method or '*'}/predictions.parquet"))
        if len(files) != 1:
            raise SystemExit(f"{run}: {len(files)} methods are measured, one is needed; name it, as in RUN:METHOD")
        found.append(read_grid(files[0]))
    return found


def ids(grid: Grid) -> tuple[Sequence[str], Sequence[str]]:
    """Return what the rows and the columns of a grid are."""
    return tuple(grid.prompt_ids), tuple(grid.example_ids)


def cells(scores: Sequence[np.ndarray]) -> list[str]:
    """Return mean ± Std over prompts, and the worst prompt, averaged over the seeds."""
    of_prompts = [100 * grid.mean(axis=1) for grid in scores]
    means, spreads, worst = zip(*((row.mean(), row.std(ddof=1), row.min()) for row in of_prompts), strict=True)
    return [f"{np.mean(means):.1f} ± {np.mean(spreads):.1f}", f"{np.mean(worst):.1f}"]


def resampled(differences: Sequence[np.ndarray], crossed: bool) -> np.ndarray:
    """Return the means of bootstrap samples over seeds, prompts and examples, ``(DRAWS,)``.

    With ``crossed``, all seeds of a sample have the same drawn prompts and examples.
    """
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return np.ix_(*(rng.integers(size, size=size) for size in shape))

    if crossed:
        stacked = np.stack(differences)
        return np.array([stacked[drawn(stacked.shape)].mean() for _ in range(DRAWS)])
    return np.array(
        [
            np.mean([differences[i][drawn(differences[i].shape)].mean() for i in rng.integers(size, size=size)])
            for size in [len(differences)] * DRAWS
        ]
    )


if __name__ == "__main__":
    main()
