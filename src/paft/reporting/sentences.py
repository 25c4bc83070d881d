"""The sentences that describe a run: its result, how it was measured, what is estimated, what failed."""

from collections.abc import Sequence

from paft.evaluation.failures import in_words
from paft.evaluation.intervals import Interval
from paft.evaluation.metrics import Summary
from paft.evaluation.paired import Difference
from paft.reporting.formatting import MISSING, bracket, points
from paft.reporting.results import MethodResult, RunResult
from paft.utils.console import counted

UNEVEN = 0.05
"""Balanced accuracy is shown where the majority baseline exceeds chance by more than this."""


def sentence(result: RunResult) -> str:
    """Return the run's result in one sentence: the mean and the 5 % quantile of each method."""
    if not result.methods:
        return "No method is finished yet."
    untrained = not result.trains and len(result.methods) == 1  # a run of `paft evaluate`
    parts = [
        f"{result.model_in_words if untrained else result.named(m.name)} {_figures(m.summary)}"
        for m in reversed(result.methods)
    ]
    prompts = counted(result.methods[0].summary.prompts, result.test_prompts)
    metric = f"{result.metric[:1].upper()}{result.metric[1:]}"
    return f"{metric} on {prompts}{_estimated_from(result)}: {'; '.join(parts)}."


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
    graded = "" if result.is_binary else " A score between 0 and 1 counts as that share of a right answer."
    return (
        f"Estimated from the answered cells of the grid ({counts}) with {_models(methods)}: mean, Std, top, "
        f"worst, best, noise-free Std, 5% quantile, worst of 20 and the score of each prompt.{graded} "
        f"{whole_grid(result)} Failures, scores by label, calibrated and other "
        "scores, and the agreement of pairs of prompts are those of the answered cells. Left out: the examples "
        "that are right under every prompt, the interval of Same answer, and the effects of traits."
    )


def whole_grid(result: RunResult) -> str:
    """Return how well the mean of the grid itself is known, and how the brackets of the tables differ from that.

    Nothing where all cells were answered.
    """
    known = [f"{m.name} {bracket(m.estimate.intervals['mean'])}" for m in result.methods if m.estimate]
    if not known:
        return ""
    summary = result.methods[0].summary
    return (
        f"The mean over exactly these {summary.prompts} prompts x {summary.examples} examples has the 95 % "
        f"interval that evaluation.until narrows: {', '.join(known)}. The wider brackets in the tables are for "
        "all prompts and examples like these."
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
    """Return the figures of a method; the quantile with its interval where the prompts may not differ at all."""
    quantile, ends, of_std = summary.quantile_05, summary.quantile_05_interval, summary.std_noise_free_interval
    if quantile is None or ends is None:
        return f"{summary.mean:.0%}"
    if f"{quantile:.0%}" == f"{summary.mean:.0%}":  # no difference between the prompts was found
        low = f", one prompt in 20 may be below {ends.low:.0%}" if round(100 * ends.low) > 0 else ""
        return f"{summary.mean:.0%} on average{low}"
    text = f"{summary.mean:.0%} on average, one prompt in 20 below {quantile:.0%}"
    return text if of_std and of_std.low > 0 else f"{text} {bracket(ends, 0)}"


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
    if majority := shown_majority(result):
        answer = "label" if result.labels else "answer"
        parts.append(f"Majority baseline {majority}: always the most frequent {answer}.")
    return " ".join(parts)


def shown_majority(result: RunResult) -> str:
    """Return the score of always giving the most frequent answer; empty where that is no more than chance.

    It always stands beside labels; letters may be uneven too.
    """
    if result.majority is None or result.chance is None:
        return ""
    return f"{result.majority:.0%}" if result.labels or result.majority > result.chance else ""


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
    text = f"{result.metric.capitalize()} by label, in %: {'; '.join(methods)}."
    if result.calibration == "batch":
        return f"{text} Calibration by batch takes labels to be balanced, which these are not; see consensus."
    return text


def failures(method: MethodResult) -> str:
    """Return the failures of format of a method in a sentence; nothing if there are none."""
    found = method.failures
    text = in_words(
        method.answered, unparsed=found.unparsed, cut=found.cut, refused=found.refused, errors=found.errors
    )
    return f"{method.name}: {text}" if text else ""


def differences_in_words(result: RunResult) -> list[str]:
    """Return a sentence on every two methods of a run."""
    return [f"{difference_in_words(d, d.first, d.second)}." for d in result.differences]


def difference_in_words(difference: Difference, first: str, second: str) -> str:
    """Return a comparison in one sentence without its full stop, with these names of the two."""
    if difference.difference == difference.interval.low == difference.interval.high == 0:
        return f"{first} and {second} score the same"
    sign = -1 if difference.difference < 0 else 1
    verb = "is above" if difference.difference > 0 else "is below" if difference.difference < 0 else "differs from"
    low, high = sorted((sign * difference.interval.low, sign * difference.interval.high))
    p = f"p = {difference.p:.3f}" if difference.p >= 0.001 else "p < 0.001"
    return (
        f"{second} {verb} {first} by {points(abs(difference.difference))} points "
        f"{bracket(Interval(low, high))}, {p}: {'a' if difference.differ else 'no'} significant difference"
    )
