"""The figures of a report: accuracy over prompts for each method, and the shares of axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import vl_convert

from paft.reporting.formatting import points
from paft.reporting.results import MethodResult, RunResult
from paft.utils.console import counted
from paft.utils.io import replacing

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
"""Okabe and Ito's palette, which colour-blind readers can distinguish."""


def write_figure(result: RunResult, folder: Path) -> None:
    """Write ``accuracy.png`` and ``accuracy.svg``."""
    save(accuracy_chart(result), folder, "accuracy")


def save(chart: alt.VConcatChart, folder: Path, name: str) -> None:
    """Write a chart as PNG and SVG."""
    with replacing(folder / f"{name}.svg") as temporary:
        chart.save(str(temporary), format="svg")
        svg = temporary.read_text(encoding="utf-8")
    with replacing(folder / f"{name}.png") as temporary:
        # from the SVG: to render the chart again would take most of the time once more
        temporary.write_bytes(vl_convert.svg_to_png(svg, ppi=144))


def axes_chart(rows: Sequence[Mapping[str, float | str]], metric: str) -> alt.VConcatChart:
    """Return the chart of the shares of axes.

    Args:
        rows: in their order, each with ``axis`` and, in percent, ``share``, ``low`` and ``high``.
    """
    base = alt.Chart(alt.Data(values=list(rows))).encode(y=alt.Y("axis:N").sort(None).title(None))
    title = f"Share of the variance of the {metric} for one example, %"
    bars = base.mark_bar(color=COLOURS[0], height=14).encode(x=alt.X("share:Q").title(title))
    ends = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return (
        alt.vconcat((bars + ends).properties(width=560, height=24 * len(rows)))
        .properties(background="white", padding=12)
        .configure_view(stroke=None)
    )


def accuracy_chart(result: RunResult) -> alt.VConcatChart:
    """Return the chart: for each method a density, a tick for each prompt and the mean as a line."""
    last = len(result.methods) - 1
    panels = [_panel(result, method, index, has_axis=index == last) for index, method in enumerate(result.methods)]
    prompts = counted(result.methods[0].summary.prompts, result.test_prompts)
    heading = f"{result.task}: {result.metric} over {prompts}"
    return (
        alt.vconcat(*panels, spacing=6)
        .properties(title=alt.TitleParams(heading, anchor="start", fontSize=15), background="white", padding=12)
        .configure_view(stroke=None)
    )


def _panel(result: RunResult, method: MethodResult, index: int, *, has_axis: bool) -> alt.LayerChart:
    """Return the part of the chart for one method; ``index`` chooses its colour."""
    rows = [
        {"prompt": result.prompts[prompt].text if prompt in result.prompts else prompt, "accuracy": 100 * accuracy}
        for prompt, accuracy in zip(method.prompt_ids, method.summary.per_prompt, strict=True)
    ]
    chart = alt.Chart(alt.Data(values=rows))
    colour = alt.ColorValue(COLOURS[index % len(COLOURS)])
    axis = alt.X("accuracy:Q").scale(domain=[0, 100])
    if has_axis:
        axis = axis.title(f"{result.metric[:1].upper()}{result.metric[1:]} under one prompt, %")
    else:
        axis = axis.title(None).axis(labels=False, ticks=False)
    density = (
        chart.transform_density("accuracy", as_=["accuracy", "density"], extent=[0, 100], bandwidth=2.5)
        .mark_area(opacity=0.35)
        .encode(x=axis, y=alt.Y("density:Q").title(None).axis(None), color=colour)
    )
    ticks = chart.mark_tick(thickness=1.5, size=14, yOffset=-7).encode(
        x=axis, y=alt.YValue(64), color=colour, tooltip=["accuracy:Q", "prompt:N"]
    )
    mean = chart.mark_rule(strokeWidth=2).encode(x="mean(accuracy):Q", color=colour)
    title = alt.TitleParams(f"{method.name}: {_figures(method)}", anchor="start", fontSize=13)
    return (density + ticks + mean).properties(width=560, height=64, title=title)


def _figures(method: MethodResult) -> str:
    """Return the figures in the title of a method's part."""
    summary = method.summary
    figures = f"{points(summary.mean)} %"
    if summary.std is not None:
        figures = f"{points(summary.mean)} ± {points(summary.std)} %, worst {points(summary.worst)}"
    if method.is_estimated:
        figures += f", estimated from {method.answered_share} of the cells"
    return figures
