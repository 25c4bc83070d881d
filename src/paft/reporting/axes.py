"""The report of ``paft evaluate --axes``: how much of the variance of the score each axis causes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from paft.errors import UserError
from paft.evaluation.axes import Decomposition, Share, decompose
from paft.evaluation.intervals import Interval
from paft.reporting.formatting import bracket, markdown_table, points
from paft.runs.directory import AXES_CELLS, AXES_DESIGN
from paft.utils.io import read_keyed

SCHEMA = 2

EXPLANATION = (
    "*Share* is the share of the variance of the score, over all levels and examples, that an axis causes in the "
    "mean score of its levels; *share for one example* is what it changes in the score of one example, which may "
    "leave the mean as it is. *Std* is the standard deviation of the mean score over the levels, without noise, "
    "in points. Brackets hold 95 % intervals, over other examples and combinations, not over other levels."
)


@dataclass(frozen=True)
class AxesResult:
    """A finished run of axes.

    Attributes:
        about: the content of ``axes.json``.
    """

    path: Path
    about: dict[str, Any]
    shares: Decomposition

    @property
    def axes(self) -> dict[str, list[str]]:
        """The names of the levels of each axis."""
        return self.about["axes"]

    @property
    def metric(self) -> str:
        """What the score is called."""
        scorers = self.about["scorers"]
        return f"score of {scorers[0]}" if scorers else "accuracy"


def is_axes_run(path: Path) -> bool:
    """Return True for a directory that ``paft evaluate --axes`` has written."""
    return (path / AXES_DESIGN).is_file()


def read_axes(path: Path) -> AxesResult:
    """Return the result of a run of axes.

    Raises:
        UserError: it is damaged or not finished.
    """
    try:
        about = json.loads((path / AXES_DESIGN).read_text(encoding="utf-8"))
        combinations, seed = int(about["combinations"]), int(about["seed"])
        rows = list(read_keyed(path / AXES_CELLS, {"levels", "examples", "scores"}).values())
        sizes = [len(row["scores"]) for row in rows]
        levels = np.repeat(np.array([row["levels"] for row in rows]).reshape(len(rows), -1), sizes, axis=0)
        examples = np.unique([e for row in rows for e in row["examples"]], return_inverse=True)[1]
        scores = np.array([score for row in rows for score in row["scores"]], dtype=float)
        if rows and (levels.shape != (len(scores), len(about["axes"])) or len(examples) != len(scores)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: {AXES_DESIGN} or {AXES_CELLS} is damaged; remove {path} and run it again"
        ) from None
    if len(rows) < combinations:
        raise UserError(
            f"{path}: {len(rows)} of {combinations} combinations are answered; run the same command again to "
            "resume"
        )
    return AxesResult(
        path, about, decompose(levels, np.repeat(np.arange(len(rows)), sizes), examples, scores, seed)
    )


def as_json(result: AxesResult) -> dict[str, Any]:
    """Return the content of ``report.json``; ``docs/report.md`` explains each key."""
    about, shares = result.about, result.shares
    axes = {
        name: {
            "share": shares.alone[i].value,
            "share_interval": shares.alone[i].interval.ends,
            "share_for_one_example": shares.with_examples[i].value,
            "share_for_one_example_interval": shares.with_examples[i].interval.ends,
            "std": _std(shares.alone[i].value, shares),
            "std_interval": [_std(end, shares) for end in shares.alone[i].interval.ends],
            "levels": dict(zip(levels, shares.level_means[i], strict=True)),
        }
        for i, (name, levels) in enumerate(result.axes.items())
    }
    return {
        "schema": SCHEMA,
        **{key: about[key] for key in ("task", "model", "adapters", "seed", "scorers")},
        "mean": shares.mean,
        "variance": shares.variance,
        "axes": axes,
        "examples_share": shares.examples.value,
        "examples_share_interval": shares.examples.interval.ends,
        "rest_share": shares.rest,
        **{key: about[key] for key in ("cells", "combinations", "examples")},
    }


def chart_rows(result: AxesResult) -> list[dict[str, float | str]]:
    """Return the rows of the figure."""
    shares = zip([*result.axes, "examples"], [*result.shares.with_examples, result.shares.examples], strict=True)
    return [
        {"axis": name, "share": 100 * s.value, "low": 100 * s.interval.low, "high": 100 * s.interval.high}
        for name, s in shares
    ]


def _std(share: float, shares: Decomposition) -> float:
    return sqrt(share * shares.variance)


def sentence(result: AxesResult) -> str:
    """Return what the table says in a sentence."""
    names, shares = list(result.axes), result.shares
    total = sum(share.value for share in shares.with_examples)
    most = max(range(len(names)), key=lambda i: shares.with_examples[i].value)
    none = [name for name, share in zip(names, shares.alone, strict=True) if share.interval.low == 0]
    unmoved = (
        " An axis may change which answers are right and not how many: the mean score may be the same under all "
        f"levels of {', '.join(none)}."
    )
    largest = f" (the largest part: {names[most]}, {points(shares.with_examples[most].value)} %)"
    return (
        f"How a question is asked causes {points(total)} % of the variance of the {result.metric}"
        f"{largest if points(total) != points(0) else ''}; how hard the example is causes "
        f"{points(shares.examples.value)} %.{unmoved if none else ''}"
    )


def table(result: AxesResult) -> list[list[str]]:
    """Return the header and one row for each axis, for the examples, and for what is left."""
    shares = result.shares
    rows = [["Axis", "Levels", "Std", "Share, %", "Share for one example, %", "Worst level"]]
    for i, (name, levels) in enumerate(result.axes.items()):
        means = shares.level_means[i]
        worst = min(range(len(means)), key=means.__getitem__)
        rows.append(
            [
                name,
                str(len(levels)),
                _std_in_points(shares.alone[i], shares),
                _share(shares.alone[i]),
                _share(shares.with_examples[i]),
                f"{levels[worst]}: {points(means[worst])}",
            ]
        )
    rows.append(["examples", str(result.about["examples"]), "", "", _share(shares.examples), ""])
    rows.append(["interactions and chance", "", "", "", points(shares.rest), ""])
    return rows


def _std_in_points(share: Share, shares: Decomposition) -> str:
    """Return the Std that belongs to a share of the variance, with its interval."""
    low, high = (_std(end, shares) for end in share.interval.ends)
    return f"{points(_std(share.value, shares))} {bracket(Interval(low, high))}"


def _share(share: Share) -> str:
    return f"{points(share.value)} {bracket(share.interval)}"


def side_by_side(results: Sequence[AxesResult], names: Sequence[str]) -> list[list[str]]:
    """Return the header and, for each run and axis, the shares, so that several models can be compared.

    Args:
        names: of the runs.
    """
    header = ["Axis", *(f"{name}: {what}" for name in names for what in ("Std", "one example, %"))]
    rows = [["mean score", *(text for result in results for text in (points(result.shares.mean), ""))]]
    for name in dict.fromkeys(name for result in results for name in result.axes):
        row = [name]
        for result in results:
            row += _cells_of(result, name)
        rows.append(row)
    return [header, *rows]


def _cells_of(result: AxesResult, name: str) -> list[str]:
    if name not in result.axes:
        return ["", ""]
    i, shares = list(result.axes).index(name), result.shares
    return [_std_in_points(shares.alone[i], shares), _share(shares.with_examples[i])]


def size(result: AxesResult) -> str:
    """Return on what the shares were measured."""
    about = result.about
    adapters = f", adapter {', '.join(about['adapters'])}" if about["adapters"] else ""
    return (
        f"{about['model']}{adapters}: mean {result.metric} {points(result.shares.mean)} % over {about['cells']:,} "
        f"questions, {about['combinations']} combinations of levels and {about['examples']} examples"
    )


def as_markdown(result: AxesResult) -> str:
    """Return ``report.md``."""
    rows = table(result)
    lines = [f"# {result.about['task']}: which parts of a prompt matter", "", sentence(result), ""]
    lines += [*_markdown(rows), "", f"{size(result)}. {EXPLANATION}", ""]
    if note := system_note(result):
        lines += [note, ""]
    lines += ["![Share of the variance for one example, per axis](figures/axes.svg)", ""]
    lines += ["## Mean score of each level", ""]
    for (name, levels), means in zip(result.axes.items(), result.shares.level_means, strict=True):
        lines += [
            f"- {name}: " + "; ".join(f"{level} {points(m)}" for level, m in zip(levels, means, strict=True))
        ]
    lines += ["", "## Prompts", ""]
    for prompt in result.about["prompts"]:
        text = "\n".join(filter(None, (prompt["system"], prompt["text"])))
        lines += [f"{prompt['id']}:", "", *(f"    {line}" for line in text.splitlines()), ""]
    return "\n".join(lines)


def system_note(result: AxesResult) -> str:
    """Return how many prompts the axis system can change; nothing where it was not measured."""
    if "system" not in result.axes:
        return ""
    return (
        f"{result.about['with_system']} of {len(result.about['prompts'])} prompts have a system text; the axis "
        "system changes these only."
    )


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    header, *others = ([cell.replace("|", "\\|").replace("\n", "\\n") for cell in row] for row in rows)
    return markdown_table(header, others)
