"""How well a part of the cells tells what the whole grid of a run shows.

    python benchmarks/cells.py RUN... [--prompteval PYTHON --package FOLDER]

Every predictions.parquet below the folders that is a complete grid of yes-or-no scores is cut down to plans of 5,
10, 20 and 40 % of its cells, each with several seeds. A second file of the same grid is left out. From the same
cells, the noise-free Std, the 5 % quantile and the mean of the whole grid are estimated by paft, by paft without
the log-likelihoods of the options, from the plain accuracy of each prompt, and by PromptEval (Maia Polo et al.
2024). The table shows the mean absolute error against the whole grid, in points, and how often a 95 % interval of
paft holds the value of the whole grid.

PromptEval's package is on GitHub only (what PyPI calls prompteval is something else): give a Python that has
scikit-learn and tqdm, and a checkout of https://github.com/felipemaiapolo/prompteval. Its model is fitted without
covariates (Rasch) and with the traits of the prompts that paft uses too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from paft.evaluation.estimate import Estimate, estimate_cells, trait_matrix
from paft.evaluation.plan import plan_cells
from paft.evaluation.two_way import layout
from paft.reporting.options import option_scores
from paft.reporting.predictions import Grid
from paft.reporting.read import read_run
from paft.utils.io import write_text

FIGURES = ("std_noise_free", "quantile_05", "mean")
GOALS = {"std_noise_free": 2.0, "quantile_05": 4.0, "mean": 1.5}
FIT = """
import json, sys, types
import numpy as np
sys.path.insert(0, sys.argv[1])
utils = types.ModuleType("prompteval.utils")  # loads torch and a plotting library for other parts of the package
utils.check_multicolinearity = lambda X: None  # the columns that arrive are independent
sys.modules["prompteval.utils"] = utils
from prompteval.methods import ExtendedRaschModel
arrays = np.load(sys.argv[2])
found = {}
for name in arrays.files:
    if name.startswith("scores"):
        number, scores = name.removeprefix("scores"), arrays[name]
        for kind, traits in (("prompteval", None), ("prompteval, traits", arrays["traits" + number])):
            if traits is None or traits.size:
                model = ExtendedRaschModel()
                model.fit(~np.isnan(scores), np.nan_to_num(scores), X=traits)
                found[number + " " + kind] = model.get_Y_hat().mean(axis=1).tolist()
print(json.dumps(found))
"""
"""What PromptEval's Python runs: every plan fitted by the package's own model."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders with predictions.parquet at any depth")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--seeds", type=int, default=3, help="plans of each size")
    parser.add_argument("--prompts", type=int, default=12, help="grids with fewer prompts are left out")
    parser.add_argument("--examples", type=int, default=24, help="grids with fewer examples are left out")
    parser.add_argument("--without", default="-pilot", help="paths that contain this are left out")
    parser.add_argument("--no-labels", action="store_true", help="fit without the effect of a prompt on a label")
    parser.add_argument("--prompteval", type=Path, help="the Python that PromptEval runs in")
    parser.add_argument("--package", type=Path, help="the folder that holds its package prompteval")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    plans: dict[str, np.ndarray] = {}
    for file, grid, known in _grids(options):
        truth = _whole(grid)
        for share in options.shares:
            for seed in range(options.seeds):
                scores = _plan(grid, share, seed)
                estimates, seconds = _estimates(scores, seed, known)
                plans |= {f"scores{len(rows)}": scores, f"traits{len(rows)}": _independent(known["traits"])}
                about = {"grid": str(file), "share": share, "seed": seed, "seconds": seconds}
                rows.append(about | _row(truth, estimates, scores))
        print(f"{file}: {grid.scores.shape[0]} x {grid.scores.shape[1]}", file=sys.stderr, flush=True)
    if not rows:
        sys.exit("no complete grid of yes-or-no scores of this size in these folders")
    if options.prompteval:
        for key, per_prompt in _prompteval(options, plans).items():
            number, kind = key.split(" ", 1)
            rows[int(number)][kind] = _of_prompts(np.array(per_prompt))
    print(_table(rows, options.shares))
    options.output.mkdir(parents=True, exist_ok=True)
    write_text(options.output / "cells.json", json.dumps({"goals": GOALS, "rows": rows}, indent=1) + "\n")


def _grids(options: argparse.Namespace) -> Iterator[tuple[Path, Grid, dict[str, Any]]]:
    """Yield the grids with what paft's estimate may know of their prompts and examples."""
    seen = set()
    for folder in options.runs:
        for file in sorted(folder.rglob("predictions.parquet")):
            if options.without in str(file):
                continue
            run = read_run(file.parents[2])
            for method in run.methods:
                grid = method.grid
                is_large = grid.scores.shape[0] >= options.prompts and grid.scores.shape[1] >= options.examples
                if grid.path != file or not (grid.is_complete and grid.is_binary and is_large):
                    continue
                key = (grid.prompt_ids, grid.example_ids, grid.scores.tobytes())
                if key in seen:
                    continue
                seen.add(key)
                prompts = [run.prompts[p] for p in grid.prompt_ids if p in run.prompts]
                traits = [run.traits_of(p) for p in prompts] if len(prompts) == len(grid.prompt_ids) else None
                labels = grid.targets if run.labels and not options.no_labels else None
                options_of_grid = option_scores(grid, run.examples, run.facts.get("targets_are_options"))
                yield file, grid, {"traits": traits, "groups": labels, "options": options_of_grid}


def _estimates(scores: np.ndarray, seed: int, known: dict[str, Any]) -> tuple[dict[str, Estimate], float]:
    """Return paft's estimates, with and without the options where these were scored; and the first's seconds."""
    started = time.process_time()
    found = of_scores = estimate_cells(scores, seed=seed, **known)
    seconds = time.process_time() - started
    if found.from_options:
        of_scores = estimate_cells(scores, seed=seed, **known | {"options": None})
    return {"paft": found, "paft, scores only": of_scores}, seconds


def _plan(grid: Grid, share: float, seed: int) -> np.ndarray:
    prompts, examples = grid.scores.shape
    count = max(prompts, round(share * grid.scores.size))
    return np.where(plan_cells(prompts, examples, count, seed), grid.scores, np.nan)


def _whole(grid: Grid) -> dict[str, float]:
    squares = layout(grid.scores)
    assert squares is not None
    return {
        "std_noise_free": squares.std_noise_free or 0.0,
        "quantile_05": squares.quantile_05 or 0.0,
        "mean": float(grid.scores.mean()),
    }


def _independent(traits: Any) -> np.ndarray:
    """Return columns of traits that are linearly independent; none where the traits are not known."""
    matrix = trait_matrix(traits) if traits else np.zeros((0, 0))
    kept: list[int] = []
    for column in range(matrix.shape[1]):
        if np.linalg.matrix_rank(matrix[:, [*kept, column]]) > len(kept):
            kept.append(column)
    return matrix[:, kept]


def _row(truth: dict[str, float], estimates: dict[str, Estimate], scores: np.ndarray) -> dict[str, Any]:
    return {
        "truth": truth,
        **{kind: {name: found.values[name] for name in FIGURES} for kind, found in estimates.items()},
        "plain": _of_prompts(np.nanmean(scores, axis=1)),
        "intervals": {kind: _ends(found) for kind, found in estimates.items()},
    }


def _ends(found: Estimate) -> dict[str, list[float]]:
    return {name: [e.low, e.high] for name in FIGURES if (e := found.intervals[name]) is not None}


def _of_prompts(per_prompt: np.ndarray) -> dict[str, float]:
    return {
        "std_noise_free": float(per_prompt.std(ddof=1)),
        "quantile_05": float(np.quantile(per_prompt, 0.05, method="median_unbiased")),
        "mean": float(per_prompt.mean()),
    }


def _prompteval(options: argparse.Namespace, plans: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return the accuracy of each prompt by PromptEval's own code, by the number of the plan and the model."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plans.npz"
        np.savez(file, **plans)  # type: ignore[arg-type]
        command = [options.prompteval, "-c", FIT, str(options.package.resolve()), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"PromptEval failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def _table(rows: list[dict[str, Any]], shares: list[float]) -> str:
    """Return a table of errors and coverage, a line for each share and estimator."""
    kinds = ("paft", "paft, scores only", "plain", "prompteval", "prompteval, traits")
    names = [kind for kind in kinds if kind in rows[0]]
    lines = [
        f"{len({row['grid'] for row in rows})} grids, {len(rows) // len(shares)} plans of each size; "
        "mean absolute error against the whole grid in points, and coverage of 95 % intervals",
        "",
        "| cells | estimate | noise-free Std | 5% quantile | mean | Std covered | 5% quantile | mean |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for share in shares:
        for name in names:
            of = [row for row in rows if row["share"] == share and name in row]
            errors = [100 * np.mean([abs(r[name][f] - r["truth"][f]) for r in of]) for f in FIGURES]
            ends = [r["intervals"][name] for r in of if name in r["intervals"]]
            covered = [
                np.mean([_is_in(r["truth"][f], e[f]) for r, e in zip(of, ends, strict=True)])
                for f in FIGURES
                if ends
            ]
            shown = [f"{value:.0%}" for value in covered] or [""] * 3
            cells = [f"{share:.0%}", name, *(f"{error:.2f}" for error in errors), *shown]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _is_in(value: float, ends: list[float]) -> bool:
    return ends[0] - 1e-9 <= value <= ends[1] + 1e-9


if __name__ == "__main__":
    main()
