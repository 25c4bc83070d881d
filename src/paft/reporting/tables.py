"""The texts and table rows that describe a run or several runs."""

import json
import statistics
from collections.abc import Sequence

from paft.evaluation.metrics import Interval
from paft.reporting.read import MethodResult, RunResult


def sentence(result: RunResult) -> str:
    """Return the run's result in one sentence: mean, Std over prompts and worst prompt of each method."""
    if not result.methods:
        return "No method is finished yet."
    untrained = not result.trains and len(result.methods) == 1  # a run of `paft evaluate`
    parts = [
        f"{result.model_in_words if untrained else result.title(m.name)}: "
        f"{m.summary.mean:.0%} ± {m.summary.std * 100:.0f}, "
        f"worst {m.summary.worst * 100:.0f}"
        for m in reversed(result.methods)
    ]
    return f"On {result.methods[0].summary.prompts} {result.test_prompts}, {'; '.join(parts)}."


def consistency(result: RunResult) -> str:
    """Return how often two prompts disagree on an example, and the share of examples right under every prompt."""
    if not result.methods or result.methods[0].summary.prompts < 2:
        return ""
    disagreements = ", ".join(f"{m.name} {m.summary.disagreement:.0%}" for m in result.methods)
    right_under_all = ", ".join(
        f"{m.name} {m.summary.right_under_all:.0%} {bracket(m.summary.right_under_all_interval)}"
        for m in result.methods
    )
    return (
        f"Disagreement (right under one prompt of a pair, wrong under the other): {disagreements}. "
        f"Examples right under every prompt: {right_under_all}."
    )


def run_names(results: Sequence[RunResult]) -> list[str]:
    """Return the shortest ends of the runs' paths that distinguish the runs."""
    paths = [result.path.resolve() for result in results]
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return []


HEADER = ("Method", "Mean", "Std", "Top", "Worst", "Best", "Unparsed", "Training", "Answering")


def cells(method: MethodResult) -> tuple[str, ...]:
    """Return a method's row under :data:`HEADER`."""
    s = method.summary
    questions = s.prompts * s.examples
    rate = method.train_examples_per_second
    return (
        method.name,
        f"{s.mean * 100:.1f} {bracket(s.mean_interval)}",
        f"{s.std * 100:.1f} {bracket(s.std_interval)}" if s.prompts > 1 else "-",
        f"{s.top * 100:.0f}",
        f"{s.worst * 100:.1f}",
        f"{s.best * 100:.1f}",
        f"{s.unparsed / questions:.1%}" if s.unparsed else "0",
        f"{method.train_seconds:.0f} s, {rate:.1f} ex/s" if method.train_seconds and rate else "-",
        f"{method.grid.seconds:.0f} s, {method.eval_examples_per_second:.1f} q/s",
    )


def over_seeds(results: Sequence[RunResult]) -> list[tuple[str, ...]]:
    """Return the header and rows of a table over runs that differ only in the seed; no rows for other runs."""
    seeds = {result.config.get("seed", 0) for result in results}
    if len(seeds) < max(len(results), 2) or len({_without_seed(result) for result in results}) > 1:
        return []
    common = set.intersection(*({m.name for m in r.methods} for r in results))
    rows: list[tuple[str, ...]] = [("Method", *map(str.capitalize, _OVER_SEEDS))]
    for name in [m.name for m in results[0].methods if m.name in common]:
        runs = [m.summary for r in results for m in r.methods if m.name == name]
        columns = [[100 * getattr(s, key) for s in runs] for key in _OVER_SEEDS]
        rows.append((name, *(f"{statistics.mean(c):.1f} ± {statistics.stdev(c):.1f}" for c in columns)))
    return rows


_OVER_SEEDS = ("mean", "std", "top", "worst", "best")


def bracket(interval: Interval, digits: int = 1) -> str:
    """Return an interval in percentage points, in brackets."""
    return f"[{interval.low * 100:.{digits}f}, {interval.high * 100:.{digits}f}]"


def _without_seed(result: RunResult) -> str:
    kept = {k: v for k, v in result.config.items() if k not in ("seed", "run")}
    return json.dumps(kept, sort_keys=True)
