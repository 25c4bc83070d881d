"""What calibration does to accuracy: with offsets from few examples, and where labels are skewed.

    paft run src/paft/tasks/demo/config.yaml evaluation.examples=180 -o runs/demo-180
    python benchmarks/calibration.py runs/demo-180

The predictions of each method of a run, obtained by likelihood, are split anew in every repeat into a batch that
gives the offsets of each prompt, and examples that are judged with them. In a skewed batch a share of the examples
has one label, a different one in each repeat, and the judged examples are weighted to have the same shares: this
is what a user sees whose data are skewed.
"""

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
from pyarrow import parquet

from paft.config.load import load_config
from paft.evaluation.calibration import consensus, normalised, offsets
from paft.types import CalibrationKind


def main() -> None:
    """Print the table of a run's methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sizes", default="6,12,24,60", help="examples of a batch with even labels")
    parser.add_argument("--shares", default="0.4,0.6,0.8", help="share of one label in a batch of --skewed")
    parser.add_argument("--skewed", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    shares = [float(share) for share in options.shares.split(",")]
    titles = [
        "method",
        "plain",
        "calibration",
        *(f"{n} examples" for n in sizes),
        *(f"one label {s:.0%}" for s in shares),
    ]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    labels = load_config(options.run / "config.yaml").task.choices
    if not labels:
        raise SystemExit(f"{options.run}: its task has no labels that all examples share")
    for file in sorted(options.run.glob("methods/*/predictions.parquet")):
        logs, targets = read(file, labels)
        cases = [(n, 1 / len(labels)) for n in sizes] + [(options.skewed, share) for share in shares]
        plain = 100 * (logs.argmax(axis=-1) == targets).mean()
        for kind in get_args(CalibrationKind):
            cells = [gain(logs, targets, size, share, options.repeats, kind) for size, share in cases]
            print(f"| {file.parent.name} | {plain:.1f} | {kind} | {' | '.join(cells)} |")


def read(file: Path, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities ``(prompts, examples, labels)`` and the index of each example's target."""
    table = parquet.read_table(file, columns=["prompt_id", "target", "scores"])
    prompts = len(set(table["prompt_id"].to_pylist()))
    scores = np.array(table["scores"].to_pylist(), dtype=np.float64)
    grid = scores.reshape(prompts, -1, len(labels))
    targets = np.array([labels.index(target) for target in table["target"].to_pylist()[: grid.shape[1]]])
    if np.bincount(targets, minlength=len(labels)).min() < 2:
        raise SystemExit(f"{file}: each label needs two examples, one to calibrate with and one to judge")
    return normalised(grid), targets


def gain(
    logs: np.ndarray, targets: np.ndarray, size: int, share: float, repeats: int, kind: CalibrationKind = "batch"
) -> str:
    """Return the accuracy gained by calibration, in points, ± its standard deviation over batches."""
    rng = np.random.default_rng(0)
    kinds = logs.shape[-1]
    gains = []
    for repeat in range(repeats):
        shares = np.full(kinds, (1 - share) / (kinds - 1))
        shares[repeat % kinds] = share
        of_label = [rng.permutation(np.flatnonzero(targets == label)) for label in range(kinds)]
        wanted = counts(shares, size, rng)
        batch = np.concatenate([rng.choice(own[::2], n) for own, n in zip(of_label, wanted, strict=True)])
        judged = np.concatenate([own[1::2] for own in of_label])
        weights = (shares / np.bincount(targets[judged], minlength=kinds))[targets[judged]]
        reference = consensus(logs[:, batch]) if kind == "consensus" else None
        shifted = logs - offsets(logs[:, batch], reference)[:, None]
        before, after = ((v[:, judged].argmax(axis=-1) == targets[judged]) @ weights for v in (logs, shifted))
        gains.append(100 * float((after - before).mean()))
    return f"{np.mean(gains):+.1f} ± {np.std(gains):.1f}"


def counts(shares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many examples of each label a batch has; what rounding leaves goes to labels at random."""
    whole = np.floor(shares * size + 1e-9).astype(int)
    whole[rng.permutation(len(shares))[: size - whole.sum()]] += 1
    return whole


if __name__ == "__main__":
    main()
