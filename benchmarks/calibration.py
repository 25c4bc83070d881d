"""What Batch Calibration does where its assumption fails: offsets from few examples, or from skewed labels.

    python benchmarks/calibration.py runs/trec/methods/paft runs/trec/methods/user --sizes 5,10,20,50

Each method's predictions by likelihood are split anew, in every repeat, into a batch that gives the offsets of
each prompt and examples that are judged with them. A skewed batch draws a share of its examples from one label,
the rest from the others. The judged examples are always drawn evenly over the labels.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyarrow import parquet

from paft.evaluation.calibration import normalised, offsets

Split = tuple[np.ndarray, np.ndarray]
"""The examples of the batch, and those that are judged."""


def main() -> None:
    """Print a table for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", type=Path, help="folders that hold predictions.parquet")
    parser.add_argument("--sizes", default="5,10,20,50", help="examples of the batch")
    parser.add_argument("--shares", default="0.5,0.7,0.9", help="shares of one label in a skewed batch of 20")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    shares = [float(share) for share in options.shares.split(",")]
    titles = ["method", "plain", *(f"{n} balanced" for n in sizes), *(f"20 with {s:.0%}" for s in shares)]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for folder in options.methods:
        scores, targets = read(folder / "predictions.parquet")
        rng = np.random.default_rng(0)
        plain = 100 * (scores.argmax(axis=-1) == targets)[:, even(targets)].mean()
        columns = [balanced_splits(targets, n, options.repeats, rng) for n in sizes]
        columns += [skewed_splits(targets, 20, share, options.repeats, rng) for share in shares]
        cells = [gain(scores, targets, splits) for splits in columns]
        print(f"| {folder.name} | {plain:.1f} | {' | '.join(cells)} |")


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return log-likelihoods ``(prompts, examples, options)`` and the index of each example's target.

    Options are those of all rows in order: the same for every example.
    """
    table = parquet.read_table(file, columns=["prompt_id", "prediction", "target", "scores"])
    prompts = len(set(table["prompt_id"].to_pylist()))
    scores = np.array(table["scores"].to_pylist(), dtype=np.float64)
    predicted = scores.argmax(axis=-1)
    index = dict(zip(table["prediction"].to_pylist(), map(int, predicted), strict=True))
    targets = table["target"].to_pylist()
    if unknown := sorted(set(targets) - set(index)):
        raise SystemExit(
            f"{file}: no prompt ever predicts {unknown[0]!r}, so its place among the options is unknown"
        )
    grid = scores.reshape(prompts, -1, scores.shape[-1])
    return grid, np.array([index[target] for target in targets[: grid.shape[1]]])


def even(targets: np.ndarray) -> np.ndarray:
    """Return examples in which each label is as frequent as another, as far as the rarest allows half of them."""
    labels, counts = np.unique(targets, return_counts=True)
    size = max(1, counts.min())
    return np.concatenate([np.flatnonzero(targets == label)[:size] for label in labels])


def balanced_splits(targets: np.ndarray, size: int, repeats: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield batches drawn label by label in turn, with the remaining examples."""
    labels = np.unique(targets)
    for _ in range(repeats):
        wanted = rng.permutation(np.resize(rng.permutation(labels), size))
        yield split(targets, wanted, rng)


def skewed_splits(
    targets: np.ndarray, size: int, share: float, repeats: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Yield batches of which ``share`` has one label, a different one in each repeat."""
    labels = np.unique(targets)
    for repeat in range(repeats):
        one = labels[repeat % len(labels)]
        others = rng.choice(labels[labels != one], size - round(share * size))
        yield split(targets, np.concatenate([np.full(round(share * size), one), others]), rng)


def split(targets: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> Split:
    """Return a batch with these labels, drawn with replacement from half of the examples, and the other half."""
    order = rng.permutation(len(targets))
    half, rest = order[: len(order) // 2], order[len(order) // 2 :]
    pools = {label: half[targets[half] == label] for label in np.unique(wanted)}
    batch = [rng.choice(pools[label]) for label in wanted if len(pools[label])]
    return np.array(batch), rest[even(targets[rest])]


def gain(scores: np.ndarray, targets: np.ndarray, splits: Iterator[Split]) -> str:
    """Return the mean accuracy after calibration less before, in points, ± its standard deviation over splits."""
    gains = []
    for batch, judged in splits:
        logs = normalised(scores[:, judged])
        shifted = logs - offsets(scores[:, batch])[:, None]
        right = [(values.argmax(axis=-1) == targets[judged]).mean() for values in (shifted, logs)]
        gains.append(100 * (right[0] - right[1]))
    return f"{np.mean(gains):+.1f} ± {np.std(gains):.1f}"


if __name__ == "__main__":
    main()
