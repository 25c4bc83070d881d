"""How reports write numbers, counts, intervals, paths and tables."""

from collections.abc import Sequence
from pathlib import PurePath

from paft.evaluation.intervals import Interval

MISSING = "\N{EN DASH}"
"""Stands where there is no value, such as the Std over a single prompt."""


def shortest_ends(paths: Sequence[PurePath]) -> list[str]:
    """Return the ends of the paths, all of the same number of parts, that are as different as the paths."""
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return []


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def points(share: float | None, digits: int = 1) -> str:
    """Return a share in percentage points, without the sign."""
    return MISSING if share is None else f"{share * 100:.{digits}f}"


def bracket(interval: Interval | None, digits: int = 1) -> str:
    """Return an interval in percentage points, in brackets; nothing where there is none."""
    return f"[{points(interval.low, digits)}, {points(interval.high, digits)}]" if interval else ""
