"""The texts and table rows that describe a run or several runs."""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import PurePath

from paft.evaluation.intervals import Interval
from paft.evaluation.metrics import Summary
from paft.evaluation.paired import Difference
from paft.reporting.other_score import OtherScore
from paft.reporting.results import MethodResult, RunResult

MISSING = "\N{EN DASH}"
"""Stands where there is no value, such as the Std over a single prompt."""
UNEVEN = 0.05
"""Balanced accuracy is shown where the majority baseline exceeds chance by more than this."""

BEYOND_THE_SAMPLE = (
    "In %, with 95 % intervals. Noise-free Std: the standard deviation over prompts without the noise of a finite "
    "number of examples. 5% quantile: 5 % of the prompts score lower, also without that noise. Worst of 20: the "
    "expected lowest score among 20 of the prompts. Same answer: how often two prompts get the same answer, right "
    "or wrong."
)
"""What the columns of :func:`beyond_the_sample` mean."""

Columns = dict[str, Callable[[MethodResult], str]]
"""The header of each column -> the function that formats a method's cell."""


def sentence(result: RunResult) -> str:
    """Return the run's result in one sentence: mean, noise-free Std and 5 % quantile of each method."""
    if not result.methods:
        return "No method is finished yet."
    untrained = not result.trains and len(result.methods) == 1  # a run of `paft evaluate`
    parts = [
        f"{result.model_in_words if untrained else result.title(m.name)}: {_figures(m.summary)}"
        for m in reversed(result.methods)
    ]
    prompts = counted(result.methods[0].summary.prompts, result.test_prompts)
    measured = "" if result.is_binary else f" ({result.metric})"
    return f"On {prompts}{measured}{_estimated_from(result)}, {'; '.join(parts)}."


def _estimated_from(result: RunResult) -> str:
    """Return from which share of the cells the figures are estimated; nothing where all cells were answered."""
    shares = {m.name: m.answered_share for m in result.methods if m.is_estimated}
    if not shares:
        return ""
    if len(shares) == len(result.methods) and len(set(shares.values())) == 1:
        return f", estimated from {result.methods[0].answered_share} of the cells"
    return f", estimated from {', '.join(f'{share} of the cells ({name})' for name, share in shares.items())}"


def estimated(result: RunResult) -> str:
    """Return what of the report is estimated, and how; nothing where all cells were answered."""
    methods = [m for m in result.methods if m.is_estimated]
    if not methods:
        return ""
    counts = ", ".join(f"{m.name} {m.answered:,} of {m.grid.answered.size:,}" for m in methods)
    known = (f"{m.name} {bracket(m.estimate.intervals['mean'])}" for m in methods if m.estimate)
    graded = "" if result.is_binary else " A score between 0 and 1 counts as that share of a right answer."
    return (
        f"Estimated from the answered cells of the grid ({counts}) with {_models(methods)}: mean, Std, top, "
        f"worst, best, noise-free Std, 5% quantile, worst of 20 and the score of each prompt.{graded} "
        f"The mean of the whole grid has these 95 % intervals: {', '.join(known)}. Brackets elsewhere hold this "
        "uncertainty, and that prompts and examples are samples. Failures, scores by label, calibrated and other "
        "scores, and the agreement of pairs of prompts are those of the answered cells. Left out: the examples "
        "that are right under every prompt, the interval of Same answer, and the effects of traits."
    )


def _models(methods: Sequence[MethodResult]) -> str:
    """Return the models by which the figures of methods are estimated."""
    names = {
        True: "a random-effects model of the options' log-likelihoods",
        False: "a random-effects logistic model",
    }
    return " or ".join(dict.fromkeys(names[m.estimate.from_options] for m in methods if m.estimate))


def compared_cells(result: RunResult) -> str:
    """Return how many cells the comparison of the methods has, where it is not the whole grid."""
    counts = sorted({d.cells for d in result.differences})
    if not any(m.is_estimated for m in result.methods) or not counts:
        return ""
    span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f", on the {span} cells that both have answered"


def difference_intervals(result: RunResult) -> str:
    """Return which intervals the differences have."""
    return "two-way clustered intervals" if any(m.is_estimated for m in result.methods) else "bootstrap intervals"


def _figures(summary: Summary) -> str:
    """Return the figures of a method; ranges where the prompts may not differ at all."""
    std, quantile = summary.std_noise_free, summary.quantile_05
    of_std, of_quantile = summary.std_noise_free_interval, summary.quantile_05_interval
    if std is None or quantile is None or of_std is None or of_quantile is None:
        return f"{summary.mean:.0%}"
    if of_std.low > 0:
        spread, low = points(std, 0), points(quantile, 0)
    else:
        spread, low = _range(0, of_std.high), _range(of_quantile.low, of_quantile.high)
    return f"mean {summary.mean:.0%}, noise-free Std {spread}, 5% quantile {low}"


def _range(low: float, high: float) -> str:
    """Return a range in percentage points; one number where both ends round to it."""
    ends = dict.fromkeys((points(low, 0), points(high, 0)))
    return " to ".join(ends)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which is given in the plural."""
    return f"{count} {noun.removesuffix('s') if count == 1 else noun}"


def size(result: RunResult) -> str:
    """Return the size of the grid in words."""
    summary = result.methods[0].summary
    cells = {
        f"{m.answered:,} of {m.grid.answered.size:,} cells answered" for m in result.methods if m.is_estimated
    }
    whole = f"{counted(summary.prompts, result.test_prompts)} x {counted(summary.examples, 'test examples')}"
    return ", ".join([whole, *sorted(cells)])


def answers_by(result: RunResult) -> str:
    """Return how the answers were obtained."""
    return "likelihood of the options" if result.mode == "likelihood" else "generation"


def disagreement(result: RunResult) -> str:
    """Return how much two prompts differ on an example, and the score under the prompt that is worst for it."""
    if not result.methods or result.methods[0].summary.prompts < 2:
        return ""

    def unit(share: float | None) -> str:
        return MISSING if share is None else f"{share:.0%}" if result.is_binary else points(share)

    differences = ", ".join(f"{m.name} {unit(m.summary.disagreement)}" for m in result.methods)
    lowest = ", ".join(
        f"{m.name} {unit(m.summary.right_under_all)} {bracket(m.summary.right_under_all_interval)}"
        for m in result.methods
        if not m.is_estimated
    )
    if result.is_binary:
        text = f"Disagreement (right under one prompt of a pair, wrong under the other): {differences}."
        return f"{text} Examples right under every prompt: {lowest}." if lowest else text
    text = f"Difference in an example's score between two prompts, mean over all pairs, in points: {differences}."
    return f"{text} Lowest score over the prompts, mean over the examples, in %: {lowest}." if lowest else text


def baselines(result: RunResult) -> str:
    """Return what an answer that knows nothing would get; nothing in a free-text task."""
    parts = []
    if result.chance is not None:
        parts.append(f"Chance {result.chance:.0%}.")
    if result.labels and result.majority is not None:
        parts.append(f"Majority baseline {result.majority:.0%}: always the most frequent label.")
    return " ".join(parts)


def is_uneven(result: RunResult) -> bool:
    """Return True if some label is so frequent that an accuracy alone would mislead."""
    baseline, chance = result.majority, result.chance
    return bool(result.labels) and None not in (baseline, chance) and (baseline or 0) - (chance or 0) > UNEVEN


def by_label(result: RunResult) -> str:
    """Return the score on the examples of each label, where a label is so frequent that accuracy would mislead."""
    if not is_uneven(result):
        return ""
    methods = (
        f"{m.name} {', '.join(f'{label} {points(score)}' for label, score in (m.per_label or {}).items())}"
        for m in result.methods
    )
    return f"{result.metric.capitalize()} by label, in %: {'; '.join(methods)}."


def failures(method: MethodResult) -> str:
    """Return the failures of format of a method in a sentence; nothing if there are none."""
    counts = {
        "could not be read and score 0": method.failures.unparsed,
        "cut at evaluation.max_new_tokens": method.failures.cut,
        "refused by the provider": method.failures.refused,
        "failed with an error": method.failures.errors,
    }
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{method.name}: of {counted(method.answered, 'answers')}, {parts}" if parts else ""


def run_names(results: Sequence[RunResult]) -> list[str]:
    """Return the shortest ends of the runs' paths that distinguish the runs."""
    return shortest_ends([result.path.resolve() for result in results])


def shortest_ends(paths: Sequence[PurePath]) -> list[str]:
    """Return the ends of the paths, all of the same number of parts, that are as different as the paths."""
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return []


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
    names = list(dict.fromkeys(name for r in results for m in r.methods for name in _others(m)))
    if not names:
        return []
    rows = [
        (run, m.name, *(_other(_others(m).get(name)) for name in names))
        for result, run in zip(results, run_names(results), strict=True)
        for m in result.methods
    ]
    table = [("Run", "Method", *names), *rows]
    return table if len(results) > 1 else _without_run(table)


def _others(method: MethodResult) -> dict[str, OtherScore]:
    calibrated = {} if method.calibrated is None else {"accuracy, calibrated": method.calibrated}
    return calibrated | method.other_scores


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


_OVER_SEEDS = ("mean", "std", "top", "worst", "best")


def difference_in_words(difference: Difference, first: str, second: str) -> str:
    """Return a comparison in one sentence without its full stop, with these names of the two."""
    sign = -1 if difference.difference < 0 else 1
    verb = "is above" if difference.difference > 0 else "is below" if difference.difference < 0 else "differs from"
    low, high = sorted((sign * difference.interval.low, sign * difference.interval.high))
    p = f"p = {difference.p:.3f}" if difference.p >= 0.001 else "p < 0.001"
    return (
        f"{second} {verb} {first} by {points(abs(difference.difference))} points "
        f"{bracket(Interval(low, high))}, {p}: {'a' if difference.differ else 'no'} significant difference"
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def points(share: float | None, digits: int = 1) -> str:
    """Return a share in percentage points, without the sign."""
    return MISSING if share is None else f"{share * 100:.{digits}f}"


def bracket(interval: Interval | None, digits: int = 1) -> str:
    """Return an interval in percentage points, in brackets; nothing where there is none."""
    return f"[{points(interval.low, digits)}, {points(interval.high, digits)}]" if interval else ""


def _without_seed(result: RunResult) -> str:
    kept = {k: v for k, v in result.config.items() if k not in ("seed", "run")}
    return json.dumps(kept, sort_keys=True)
