"""Compare two methods, models, runs or prompts on the prompts and examples that both have."""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paft.errors import UserError, nearest
from paft.evaluation.paired import Difference, differences, over_examples
from paft.reporting.answers import read_texts
from paft.reporting.results import MethodResult, RunResult
from paft.reporting.tables import run_names


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a method of a run, or one prompt under a method."""

    run: RunResult
    method: MethodResult
    prompt: str | None
    name: str

    @property
    def prompts(self) -> tuple[str, ...]:
        """The ids of its prompts."""
        return self.method.prompt_ids if self.prompt is None else (self.prompt,)


@dataclass(frozen=True)
class Cells:
    """The cells that two sides have in common: places in the grid of each, in the same order.

    Attributes:
        by_id: whether the examples were matched by their ids, as a run lacks the texts of its examples.
    """

    prompts: tuple[list[int], list[int]]
    examples: tuple[list[int], list[int]]
    by_id: bool = False

    def of(self, values: np.ndarray, side: int) -> np.ndarray:
        """Return the cells of a ``(prompts, examples)`` array of the first (0) or second (1) side."""
        return values[np.ix_(self.prompts[side], self.examples[side])]


@dataclass(frozen=True)
class Comparison:
    """Two sides on the cells that they have in common.

    Attributes:
        over: what the difference is tested over: ``prompts`` or ``examples``.
    """

    left: Side
    right: Side
    cells: Cells
    difference: Difference
    over: str

    @cached_property
    def answered(self) -> np.ndarray:
        """``(prompts, examples)``, True where both sides have answered."""
        left, right = (
            self.cells.of(side.method.grid.answered, i) for i, side in enumerate((self.left, self.right))
        )
        return left & right

    @cached_property
    def change(self) -> np.ndarray:
        """``(prompts, examples)``: the score of the right side less that of the left, rounding left out.

        It is 0 where one of them has not answered.
        """
        left, right = (self.cells.of(side.method.grid.scores, i) for i, side in enumerate((self.left, self.right)))
        return np.where(self.answered, np.round(right - left, 12), 0.0)


@dataclass(frozen=True)
class Change:
    """An example whose score differs between the sides under some prompts, and the answers under one of these.

    An answer that could not be read is None.
    """

    prompts: tuple[str, str]
    count: int
    question: str
    target: str
    answers: tuple[str | None, str | None]
    scores: tuple[float, float]


def example_keys(run: RunResult, method: MethodResult, *, by_id: bool = False) -> list[Hashable]:
    """Return what identifies each example of a grid: its fields, options and targets; of repeats, the number too.

    Ids are row numbers, which other rows have in another file.

    Args:
        by_id: return the id and the target instead, of runs without ``examples.jsonl``.
    """
    grid = method.grid
    if by_id:
        return list(zip(grid.example_ids, grid.targets, strict=True))
    seen: Counter[str] = Counter()
    keys: list[Hashable] = []
    for example in grid.example_ids:
        content = run.example_contents[example]
        keys.append((content, seen[content]))
        seen[content] += 1
    return keys


def prompt_keys(run: RunResult, method: MethodResult) -> list[str]:
    """Return what identifies each prompt of a grid: its text; its id, if the run lacks the text.

    A file may name ids, and a text may be edited beside an id, so equal ids may stand for different texts.
    """
    return [run.prompts[i].content if i in run.prompts else i for i in method.prompt_ids]


def common_cells(left: Side, right: Side) -> Cells:
    """Return the cells that both sides have; two prompts that are named are taken as each other's counterpart."""
    by_id = not (has_texts(left.run, left.method) and has_texts(right.run, right.method))
    keys = [example_keys(side.run, side.method, by_id=by_id) for side in (left, right)]
    if left.prompt is not None and right.prompt is not None:
        rows = [[s.method.prompt_ids.index(s.prompt)] for s in (left, right) if s.prompt is not None]
        return Cells((rows[0], rows[1]), _matches(keys[0], keys[1]), by_id)
    prompts = [prompt_keys(side.run, side.method) for side in (left, right)]
    return Cells(_matches(prompts[0], prompts[1]), _matches(keys[0], keys[1]), by_id)


def has_texts(run: RunResult, method: MethodResult) -> bool:
    """Return True if the run has the texts of all examples of a method."""
    return all(example in run.examples for example in method.grid.example_ids)


def _matches(left: Sequence[Hashable], right: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    places = {key: place for place, key in enumerate(right)}
    matches = [(i, places[key]) for i, key in enumerate(left) if key in places]
    return [i for i, _ in matches], [j for _, j in matches]


def compare_sides(left: Side, right: Side) -> Comparison:
    """Compare two sides.

    Two methods are compared over prompts, as in a report (:func:`paft.evaluation.paired.differences`), two prompts
    over examples (:func:`paft.evaluation.paired.over_examples`), and so are two methods with one prompt in common.

    Raises:
        UserError: they cannot be compared: a prompt with a method, scores of two kinds, or nothing in common.
    """
    if (left.prompt is None) != (right.prompt is None):
        raise UserError(f"--compare {left.name} {right.name}: one names a prompt, the other does not; name two")
    if left.run.metric != right.run.metric:
        raise UserError(
            f"--compare {left.name} {right.name}: one is measured by {left.run.metric}, the other by "
            f"{right.run.metric}; compare runs with the same scorer"
        )
    cells = common_cells(left, right)
    for what, (places, _) in (("test prompt", cells.prompts), ("test example", cells.examples)):
        if not places:
            raise UserError(f"--compare {left.name} {right.name}: they have no {what} in common")
    scores = [cells.of(side.method.grid.scores, i) for i, side in enumerate((left, right))]
    answered = ~np.isnan(scores[0] + scores[1])
    if not answered.any(axis=1).all():
        raise UserError(
            f"--compare {left.name} {right.name}: they have no answered cell in common under some prompt; measure "
            "both with the same evaluation.cells and seed, or more cells"
        )
    if len(scores[0]) == 1:
        both = [score[answered] for score in scores]
        difference, over = over_examples(left.name, right.name, *both), "examples"
    else:
        names = ("left", "right")  # the sides may have the same name
        difference, over = differences(dict(zip(names, scores, strict=True)))[0], "prompts"
    return Comparison(left, right, cells, difference, over)


def changes(comparison: Comparison, *, rises: bool) -> Iterator[Change]:
    """Yield the examples whose score rises, or falls, from left to right; first those with the largest total."""
    sides, cells = (comparison.left, comparison.right), comparison.cells
    size = np.maximum(0, comparison.change if rises else -comparison.change)
    texts = [read_texts(side.method.grid, ["prediction"])["prediction"].to_pylist() for side in sides]
    for column in np.argsort(-size.sum(axis=0), kind="stable"):
        count, row = int((size[:, column] > 0).sum()), int(size[:, column].argmax())
        if not count:
            return
        grids = [side.method.grid for side in sides]
        places = [(cells.prompts[i][row], cells.examples[i][column]) for i in range(2)]
        answers = [text[grid.rows[p, e]] for text, grid, (p, e) in zip(texts, grids, places, strict=True)]
        example = grids[0].example_ids[places[0][1]]
        fields = sides[0].run.examples.get(example, {}).get("fields")
        yield Change(
            (grids[0].prompt_ids[places[0][0]], grids[1].prompt_ids[places[1][0]]),
            count,
            " · ".join(map(str, fields.values())) if isinstance(fields, dict) else f"example {example}",
            grids[0].targets[places[0][1]],
            (answers[0], answers[1]),
            (float(grids[0].scores[places[0]]), float(grids[1].scores[places[1]])),
        )


def find_side(text: str, results: Sequence[RunResult]) -> Side:
    """Return the side that a text names: ``RUN:METHOD:PROMPT``, less what there is only one of.

    ``RUN`` is a run's name in the report, ``PROMPT`` the beginning of a prompt's id.

    Raises:
        UserError: it names nothing, or several.
    """
    named = [
        (run, result, method)
        for run, result in zip(run_names(results), results, strict=True)
        for method in result.methods
    ]
    sides = []
    for run, result, method in named:
        rest = text.split(":")
        for name in (run, method.name):
            if rest and rest[0] == name:
                rest = rest[1:]
        prompts = [p for p in method.prompt_ids if p.startswith(rest[0])] if len(rest) == 1 else []
        name_parts = (
            run if len(results) > 1 else "",
            method.name if len(results) == 1 or len(result.methods) > 1 else "",
        )
        for prompt in prompts if rest else [None]:
            name = ":".join(filter(None, (*name_parts, prompt)))
            sides.append(Side(result, method, prompt, name))
    if len(sides) == 1:
        return sides[0]
    if not sides:
        known = {name for run, _, method in named for name in (run, method.name)}
        raise UserError(f"--compare {text}: no run, method or prompt of this name{nearest(text, known)}")
    names = ", ".join(side.name for side in sides[:4]) + (", ..." if len(sides) > 4 else "")
    raise UserError(f"--compare {text}: this may be {names}; write one of them")


def differences_of_all(
    methods: Sequence[tuple[RunResult, MethodResult]], keys: Sequence[Sequence[Hashable]]
) -> dict[tuple[int, int], Difference]:
    """Return the differences of every two methods with the same task and measure, not corrected for their number.

    Two methods with fewer than two prompts or no example in common are left out.

    Args:
        keys: what identifies the examples of each method, see :func:`example_keys`.
    """
    prompts = [tuple(prompt_keys(run, method)) for run, method in methods]
    groups: dict[tuple[str, str, tuple[str, ...], tuple[Hashable, ...]], list[int]] = {}
    for index, (run, _) in enumerate(methods):
        groups.setdefault((run.task, run.metric, prompts[index], tuple(keys[index])), []).append(index)
    by_pair: dict[tuple[int, int], Difference] = {}

    def add(scores: dict[int, np.ndarray]) -> None:
        named = {str(index): grid for index, grid in scores.items()}
        for difference in differences(named, is_corrected=False):
            by_pair[int(difference.first), int(difference.second)] = difference

    for (_, _, group_prompts, _), members in groups.items():
        if len(group_prompts) > 1:
            add({index: methods[index][1].grid.scores for index in members})
    for (left, left_members), (right, right_members) in itertools.combinations(groups.items(), 2):
        if left[:2] != right[:2]:  # another task or metric
            continue
        for pair in itertools.product(left_members, right_members):
            first, second = sorted(pair)
            cells = Cells(_matches(prompts[first], prompts[second]), _matches(keys[first], keys[second]))
            if len(cells.prompts[0]) > 1 and cells.examples[0]:
                grids = [methods[index][1].grid.scores for index in (first, second)]
                add({first: cells.of(grids[0], 0), second: cells.of(grids[1], 1)})
    return by_pair
