"""The charts of the paper's figures: distributions per method, and accuracy by number of training prompts."""

from pathlib import Path

import altair as alt

from paft.experiments.tables import ResultTable
from paft.reporting.figure import COLOURS, accuracy_chart, save


def write_figures(name: str, table: ResultTable, folder: Path) -> None:
    """Write the charts of a table, if it has any, as PNG and SVG."""
    if name == "figure6" and table.rows:
        save(counts_chart(table), folder, name)
    for run in table.runs:
        save(accuracy_chart(run), folder, f"{name}-{run.task}-seed-{run.seed}")


def _points(share: float | None) -> float | None:
    return None if share is None else 100 * share  # without a value, a row has no mark


def counts_chart(table: ResultTable) -> alt.VConcatChart:
    """Return figure 6: mean and Std with their intervals by number of training prompts, on a log axis."""
    rows = [
        {
            "task": row["task"] if row["seed"] == 0 else f"{row['task']}, seed {row['seed']}",
            "prompts": row["training_prompts"],
            "mean": 100 * row["mean"],
            "low": 100 * row["mean_interval"][0],
            "high": 100 * row["mean_interval"][1],
            "std": _points(row["std"]),
            "std_low": _points(row["std_interval"] and row["std_interval"][0]),
            "std_high": _points(row["std_interval"] and row["std_interval"][1]),
        }
        for row in table.rows
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("prompts:Q").scale(type="log").title("Training prompts"),
        color=alt.Color("task:N").scale(range=COLOURS).title(None),
    )
    mean = base.mark_line(point=True).encode(y=alt.Y("mean:Q").scale(zero=False).title("Mean accuracy, %"))
    interval = base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q")
    std = base.mark_line(point=True).encode(y=alt.Y("std:Q").title("Std over prompts, points"))
    spread = base.mark_rule(opacity=0.5).encode(y="std_low:Q", y2="std_high:Q")
    return (
        alt.vconcat(
            (interval + mean).properties(width=480, height=220), (spread + std).properties(width=480, height=140)
        )
        .properties(background="white", padding=12)
        .configure_view(stroke=None)
    )
