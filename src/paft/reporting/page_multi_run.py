"""What a page of several runs shares and leaves out, so that it stays small; and every pair of methods."""

import base64
import json
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from paft.reporting.pairs import differences_of_all, example_keys, has_texts
from paft.reporting.results import RunResult
from paft.utils.io import encodable

MOST_CELLS = 400_000
"""A page with more cells has the answers but no outputs; the page of each run has them."""
LONGEST_FIELD = 2000
EXAMPLE_BUDGET = 3_000_000
"""The maximum number of characters of a field of an example, and of the examples of a page of one field each."""
LATER = ("examples", "keys", "texts", "traits", "trainPrompts")
LATER_OF_METHODS = (
    "cells",
    "scores",
    "finish",
    "others",
    "outputs",
    "explanations",
    "curve",
    "changes",
    "rewards",
)
"""What is not drawn before a run is chosen: keys of a run's data and of its methods'."""


@dataclass(frozen=True)
class Room:
    """The room that a run has on a page: the number of runs that share it, and the longest field of an example."""

    runs: int
    has_outputs: bool
    longest: int


WHOLE_PAGE = Room(1, True, LONGEST_FIELD)


def room_for(results: Sequence[RunResult]) -> Room:
    """Return the room of each run; a run that has the page for itself has all of it."""
    if len(results) < 2:
        return WHOLE_PAGE
    cells = sum(method.grid.scores.size for result in results for method in result.methods)
    longest = EXAMPLE_BUDGET // max(1, sum(len(result.examples) for result in results))
    return Room(len(results), cells <= MOST_CELLS, min(LONGEST_FIELD, longest))


def pack(data: dict[str, Any]) -> dict[str, Any]:
    """Return a run's data with what is not drawn at first deflated; ``page/base.js`` inflates it."""
    later = {key: data[key] for key in LATER}
    later["methods"] = [{key: method[key] for key in LATER_OF_METHODS} for method in data["methods"]]
    text = encodable(json.dumps(later, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    return {key: value for key, value in data.items() if key not in LATER} | {
        "methods": [
            {key: value for key, value in method.items() if key not in LATER_OF_METHODS}
            for method in data["methods"]
        ],
        "packed": base64.b64encode(zlib.compress(text.encode(), 1)).decode(),
    }


def example_numbers(results: Sequence[RunResult]) -> list[list[int]]:
    """Return a number for each example of each run, in the order of its data; equal ones ask the same.

    Runs of a task of which one lacks the texts of its examples are matched by ids.
    """
    lacking = {r.task for r in results if not all(has_texts(r, method) for method in r.methods)}
    numbers: dict[Hashable, int] = {}
    numbers_of_runs = []
    for result in results:
        keys: dict[str, Hashable] = {}
        for method in result.methods:
            own = example_keys(result, method, by_id=result.task in lacking)
            keys |= dict(zip(method.grid.example_ids, own, strict=True))
        numbers_of_runs.append([numbers.setdefault((result.task, key), len(numbers)) for key in keys.values()])
    return numbers_of_runs


def pairs_data(results: Sequence[RunResult], numbers: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return ``[i, j, difference, low, high, p]`` of every two methods of the page that can be compared.

    Args:
        numbers: of the examples, as :func:`example_numbers` returns them.
    """
    methods, keys = [], []
    for result, own_numbers in zip(results, numbers, strict=True):
        number_of = dict(zip(_examples(result), own_numbers, strict=True))
        for method in result.methods:
            methods.append((result, method))
            keys.append([number_of[example] for example in method.grid.example_ids])
    return [
        [*pair, *(round(value, 6) for value in (d.difference, d.interval.low, d.interval.high)), d.p]
        for pair, d in differences_of_all(methods, keys).items()
    ]


def _examples(result: RunResult) -> list[str]:
    """Return the examples of a run in the order of its data."""
    return list(dict.fromkeys(e for method in result.methods for e in method.grid.example_ids))
