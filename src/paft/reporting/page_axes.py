"""The page of one or several runs of ``paft evaluate --axes``: shares of the variance, the mean of each level."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from paft.errors import UserError
from paft.evaluation.axes import Share
from paft.reporting.axes import (
    EXPLANATION,
    AxesResult,
    as_json,
    as_markdown,
    chart_rows,
    read_axes,
    sentence,
    side_by_side,
    size,
    system_note,
    table,
)
from paft.reporting.figure import axes_chart, save
from paft.reporting.formatting import points, shortest_ends
from paft.reporting.page import check_own, from_template, unbroken
from paft.runs.directory import RunDirectory
from paft.utils.io import encodable, write_text

EXAMPLES = "examples"
"""The row of the chart for how hard the examples are."""


def write_axes_report(path: Path) -> AxesResult:
    """Write ``report.json``, ``report.md``, the page and the figure of a run of axes."""
    result = read_axes(path)
    save(axes_chart(chart_rows(result), result.metric), path / "figures", "axes")
    write_text(path / "report.json", json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
    write_text(path / "report.md", as_markdown(result))
    write_axes_page(path / "report.html", [result])
    return result


def write_axes_page(path: Path, results: Sequence[AxesResult]) -> None:
    """Write the page.

    Raises:
        UserError: ``path`` exists and is not a page that paft wrote.
    """
    check_own(path)
    write_text(path, render_axes(results))


def render_axes(results: Sequence[AxesResult]) -> str:
    """Return the page as HTML; it has no script."""
    names = shortest_ends([result.path.resolve() for result in results])
    tasks = ", ".join(dict.fromkeys(result.about["task"] for result in results))
    metrics = {result.metric for result in results}
    rows = side_by_side(results, names) if len(results) > 1 else table(results[0])
    html = from_template(
        "axes.html",
        title=f"{tasks}: which parts of a prompt matter",
        runs=[_run(result, name) for result, name in zip(results, names, strict=True)],
        table=[rows[0], *([unbroken(cell) for cell in row] for row in rows[1:])],
        shares=_shares(results, names),
        means=_means(results, names),
        metric=metrics.pop() if len(metrics) == 1 else "score",
        prompts={prompt["id"]: prompt for result in results for prompt in result.about["prompts"]},
        note=EXPLANATION.replace("*", ""),
    )
    return encodable(html)


def _run(result: AxesResult, name: str) -> dict[str, Any]:
    about = result.about
    try:
        config = RunDirectory(result.path).read_config()
    except UserError:
        config = {}
    adapters = "".join(f" --adapter {folder}" for folder in about["adapters"])
    cells = about["depends"].get("--cells", about["cells"])
    return {
        "name": name,
        "sentence": sentence(result),
        "size": size(result),
        "system": system_note(result),
        "levels": {
            axis: "; ".join(f"{level} {points(mean)}" for level, mean in levels)
            for axis, levels in _levels(result).items()
        },
        "command": f"paft evaluate config.yaml --axes {','.join(result.axes)} --cells {cells}{adapters}",
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
    }


def _shares(results: Sequence[AxesResult], names: Sequence[str]) -> dict[str, Any]:
    """Return the chart of the shares: for each axis a row, with a bar for each run, at positions in percent."""
    axes = [*dict.fromkeys(axis for result in results for axis in result.axes), EXAMPLES]
    highest = max((share.interval.high for r in results for share, _ in _by_axis(r).values()), default=0.0)
    ticks = _ticks(0, 100 * max(highest, 0.01))
    scale = ticks[-1]
    rows = []
    for axis in axes:
        bars = []
        for number, (result, name) in enumerate(zip(results, names, strict=True)):
            share, alone = _by_axis(result).get(axis, (None, None))
            if share is not None:
                bars.append(_bar(number, name if len(results) > 1 else "", share, alone, scale))
        levels = {len(result.axes[axis]) for result in results if axis in result.axes}
        rows.append({"axis": axis, "levels": " or ".join(map(str, sorted(levels))), "bars": bars})
    return {"rows": rows, "ticks": [(tick, 100 * tick / scale) for tick in ticks]}


def _by_axis(result: AxesResult) -> dict[str, tuple[Share, Share | None]]:
    """Return for each axis, and for the examples, the share for one example and that of the mean score."""
    shares = result.shares
    alone = dict(zip(result.axes, shares.alone, strict=True))
    with_examples = dict(zip(result.axes, shares.with_examples, strict=True))
    return {axis: (share, alone[axis]) for axis, share in with_examples.items()} | {
        EXAMPLES: (shares.examples, None)
    }


def _bar(number: int, name: str, share: Share, alone: Share | None, scale: float) -> dict[str, Any]:
    ends = share.interval
    text = f"{points(share.value)} % [{points(ends.low)}, {points(ends.high)}] for one example"
    if alone is not None:
        text += f", {points(alone.value)} % in the mean score"
    low, value, high = (100 * 100 * x / scale for x in (ends.low, share.value, ends.high))
    return {
        "run": number,
        "text": f"{name}: {text}" if name else text,
        "low": low,
        "value": value,
        "high": high,
        "alone": None if alone is None else 100 * 100 * alone.value / scale,
    }


def _means(results: Sequence[AxesResult], names: Sequence[str]) -> dict[str, Any]:
    """Return the chart of the means of the levels: a row for each axis, with a line of marks for each run."""
    means = [100 * mean for result in results for axis in result.shares.level_means for mean in axis]
    ticks = _ticks(min(means), max(means))
    first, span = ticks[0], ticks[-1] - ticks[0]
    rows = []
    for axis in dict.fromkeys(axis for result in results for axis in result.axes):
        marks = []
        for number, (result, name) in enumerate(zip(results, names, strict=True)):
            of_run = f"{name}, " if len(results) > 1 else ""
            for level, mean in _levels(result).get(axis, []):
                text = f"{of_run}{level}: {points(mean)} %"
                marks.append({"run": number, "at": 100 * (100 * mean - first) / span, "text": text})
        rows.append({"axis": axis, "marks": marks})
    return {"rows": rows, "ticks": [(tick, 100 * (tick - first) / span) for tick in ticks]}


def _levels(result: AxesResult) -> dict[str, list[tuple[str, float]]]:
    """Return for each axis its levels, each with its mean score."""
    return {
        axis: list(zip(levels, means, strict=True))
        for (axis, levels), means in zip(result.axes.items(), result.shares.level_means, strict=True)
    }


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from ``low`` or below to ``high`` or above, at most seven."""
    step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if step >= (high - low) / 5)
    first, last = low // step, -(-high // step)
    return [step * number for number in range(int(first), int(max(last, first + 1)) + 1)]
