"""The figure of accuracy on validation prompts against seconds of training, from the results of samplers.py.

    python benchmarks/samplers_figure.py --task trec --output docs/figures/trec-seconds.png

Each point is an arm at a budget, averaged over its seeds; the budgets of an arm are joined.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import altair as alt

from paft.reporting.figure import COLOURS
from paft.utils.io import read_log

ROOT = Path(__file__).parent.parent
PANELS = {"mean": "Mean", "quantile_05": "5 % quantile"}
NAMED = {
    "uniform-k4": "K = 4, q and v (the paper's)",
    "uniform-k1": "K = 1, q and v",
    "mixed-4": "mixed, 4 prompts a step, q and v",
    "uniform-k4-all-linear": "K = 4, all linear layers",
}
OTHER = "other arms"


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    files = sorted(options.results.glob(f"samplers-{options.task}-*.jsonl"))
    if not files:
        raise SystemExit(f"{options.results}: no results of benchmarks/samplers.py for {options.task}")
    chart(averages([row for file in files for row in read_log(file)])).save(str(options.output), ppi=144)


def averages(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each arm, budget and figure: its mean over the seeds, in %."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["budget"]), []).append(row)
    return [
        {
            "arm": arm,
            "title": NAMED.get(arm, OTHER),
            "seconds": budget,
            "panel": panel,
            "accuracy": 100 * statistics.mean(row[figure] for row in own),
        }
        for (arm, budget), own in groups.items()
        for figure, panel in PANELS.items()
    ]


def chart(points: list[dict[str, Any]]) -> alt.FacetChart:
    """Return a panel for each figure, with a line for each arm."""
    titles, colours = [*NAMED.values(), OTHER], [*COLOURS[: len(NAMED)], "#bbbbbb"]
    arms = (
        alt.Chart()
        .mark_line(point=alt.OverlayMarkDef(size=45))
        .encode(
            x=alt.X("seconds:Q").title("seconds of training").scale(zero=True),
            y=alt.Y("accuracy:Q").title("accuracy, %").scale(zero=False),
            detail="arm:N",
            color=alt.Color("title:N").title(None).scale(domain=titles, range=colours),
        )
        .properties(width=300, height=240)
    )
    is_other = alt.datum.title == OTHER
    return (
        alt.layer(arms.transform_filter(is_other), arms.transform_filter(~is_other), data=alt.Data(values=points))
        .facet(column=alt.Column("panel:N").title(None).sort(list(PANELS.values())))
        .configure_legend(orient="bottom", columns=2, labelLimit=300)
        .properties(background="white", padding=12)
    )


if __name__ == "__main__":
    main()
