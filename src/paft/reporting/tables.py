"""The tables that describe the methods of a run or of several runs."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence

from paft.reporting.formatting import MISSING, bracket, points, shortest_ends
from paft.reporting.other_score import OtherScore
from paft.reporting.results import MethodResult, RunResult
from paft.reporting.sentences import is_uneven

BEYOND_THE_SAMPLE = (
    "In %, with 95 % intervals. Noise-free Std: the standard deviation over prompts without the noise of a finite "
    "number of examples. 5% quantile: 5 % of the prompts score lower, also without that noise. Worst of 20: the "
    "expected lowest score among 20 of the prompts. Same answer: how often two prompts get the same answer, right "
    "or wrong."
)
"""What the columns of :func:`beyond_the_sample` mean."""
Columns = dict[str, Callable[[MethodResult], str]]
"""The header of each column -> the function that formats a method's cell."""
_OVER_SEEDS = ("mean", "std", "top", "worst", "best")


def run_names(results: Sequence[RunResult]) -> list[str]:
    """Return the shortest ends of the runs' paths that distinguish the runs."""
    return shortest_ends([result.path.resolve() for result in results])


def columns(results: Sequence[RunResult]) -> Columns:
    """Return the columns of a table of the runs' methods; those in which no method has a value are left out."""
    methods = [method for result in results for method in result.methods]
    measure = "Accuracy" if all(result.is_binary for result in results) else "Score"
    optional = {
        "Cells": any(m.is_estimated for m in methods),
        "Balanced accuracy": any(map(is_uneven, results)),
        "Unparsed": any(r.mode == "generate" for r in results) or any(m.failures.unparsed for m in methods),
        "Cut": any(m.failures.cut for m in methods),
        f"{measure} if read": any(m.failures.unparsed for m in methods),
        "Training": any(m.log for m in methods),
    }
    all_columns: Columns = {
        "Method": lambda m: m.name,
        "Cells": cells_in_words,
        "Mean": lambda m: f"{points(m.summary.mean)} {bracket(m.summary.mean_interval)}",
        "Std": lambda m: f"{points(m.summary.std)} {bracket(m.summary.std_interval)}".strip(),
        "Balanced accuracy": lambda m: points(m.balanced_accuracy),
        "Top": lambda m: points(m.summary.top, 0),
        "Worst": lambda m: points(m.summary.worst),
        "Best": lambda m: points(m.summary.best),
        "Unparsed": lambda m: _share(m.failures.unparsed, m),
        "Cut": lambda m: _share(m.failures.cut, m),
        f"{measure} if read": lambda m: points(m.failures.parsed_accuracy),
        "Training": _training,
        "Answering": lambda m: f"{m.grid.seconds:.0f} s, {m.eval_examples_per_second:.1f} q/s",
    }
    return {name: cell for name, cell in all_columns.items() if optional.get(name, True)}


def cells(method: MethodResult, table_columns: Columns) -> tuple[str, ...]:
    """Return a method's row under the headers of the columns."""
    return tuple(cell(method) for cell in table_columns.values())


def _share(count: int, method: MethodResult) -> str:
    return f"{count / method.answered:.1%}" if count else "0"


def cells_in_words(method: MethodResult) -> str:
    """Return the share of the cells that were answered; where it is not all of them, the figures are estimates."""
    return f"{method.answered_share} (estimated)" if method.is_estimated else "all"


def _training(method: MethodResult) -> str:
    rate = method.train_examples_per_second
    return f"{method.train_seconds:.0f} s, {rate:.1f} ex/s" if method.train_seconds and rate else MISSING


def beyond_the_sample(results: Sequence[RunResult]) -> list[tuple[str, ...]]:
    """Return the header and rows of a table of the figures of the prompts as a sample of all prompts.

    No rows where every method has a single prompt.
    """
    rows = []
    is_partial = any(method.is_estimated for result in results for method in result.methods)
    for result, run in zip(results, run_names(results), strict=True):
        for method in result.methods:
            s = method.summary
            figures = (
                (s.std_noise_free, s.std_noise_free_interval),
                (s.quantile_05, s.quantile_05_interval),
                (s.worst_of_20, s.worst_of_20_interval),
                (s.consistency, s.consistency_interval),
            )
            texts = (f"{points(value)} {bracket(ends)}".strip() for value, ends in figures)
            share = [cells_in_words(method)] if is_partial else []
            rows.append((run, method.name, *share, *texts))
    if all(method.summary.prompts < 2 for result in results for method in result.methods):
        return []
    header = ["Run", "Method", *(["Cells"] if is_partial else [])]
    table = [(*header, "Noise-free Std", "5% quantile", "Worst of 20", "Same answer"), *rows]
    return table if len(results) > 1 else _without_run(table)


def _without_run(table: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return a table without its first column, which names the run."""
    return [row[1:] for row in table]


def other_scores(results: Sequence[RunResult]) -> list[tuple[str, ...]]:
    """Return the header and rows of a table of the further scorers' values; no rows where there are none."""
    names = list(dict.fromkeys(name for r in results for m in r.methods for name in _others(r, m)))
    if not names:
        return []
    rows = [
        (run, m.name, *(_other(_others(result, m).get(name)) for name in names))
        for result, run in zip(results, run_names(results), strict=True)
        for m in result.methods
    ]
    table = [("Run", "Method", *names), *rows]
    return table if len(results) > 1 else _without_run(table)


def _others(result: RunResult, method: MethodResult) -> Mapping[str, OtherScore | None]:
    if result.calibration is None:
        return method.other_scores
    return {f"accuracy, calibrated ({result.calibration})": method.calibrated} | method.other_scores


def _other(score: OtherScore | None) -> str:
    if score is None:
        return MISSING
    spread = "" if score.std is None else f" ± {points(score.std)}, worst {points(score.worst)}"
    partial = " (of the answered cells)" if score.worst is None else ""
    return f"{points(score.mean)}{spread}{partial}"


def over_seeds(results: Sequence[RunResult]) -> list[tuple[str, ...]]:
    """Return the header and rows of a table over runs that differ only in the seed; no rows for other runs."""
    if not differ_in_seed(results):
        return []
    common = set.intersection(*({m.name for m in r.methods} for r in results))
    rows: list[tuple[str, ...]] = [("Method", *map(str.capitalize, _OVER_SEEDS))]
    for name in [m.name for m in results[0].methods if m.name in common]:
        runs = [m.summary for r in results for m in r.methods if m.name == name]
        rows.append((name, *(mean_and_std([getattr(s, key) for s in runs]) for key in _OVER_SEEDS)))
    return rows


def differ_in_seed(results: Sequence[RunResult]) -> bool:
    """Return True of several runs if each has a seed of its own and they differ in nothing else."""
    seeds = {result.seed for result in results}
    return len(seeds) == len(results) > 1 and len({_without_seed(result) for result in results}) == 1


def mean_and_std(values: Sequence[float | None]) -> str:
    """Return mean and sample standard deviation of several values, in percentage points."""
    known = [100 * value for value in values if value is not None]
    if len(known) < len(values):
        return MISSING
    return f"{statistics.mean(known):.1f} ± {statistics.stdev(known):.1f}"


def _without_seed(result: RunResult) -> str:
    kept = {k: v for k, v in result.config.items() if k not in ("seed", "run")}
    return json.dumps(kept, sort_keys=True)
