"""Which cells of the grid of prompts and examples are answered, when not all of them are.

The order of the cells is a pure function of the size of the grid and the seed, and every plan is a beginning of
it. So a larger plan contains the smaller ones, and a run can continue with more cells.
"""

import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Collection

import numpy as np

from paft.errors import UserError

FIRST, GROWTH = 0.05, 1.4
"""Of ``evaluation.until``: the share of the grid in the first round, and by how much the cells grow in each."""


def planned_cells(cells: float, prompts: int, examples: int) -> int:
    """Return how many cells of a grid a setting asks for.

    Args:
        cells: a share in (0, 1], or a number above 1.

    Raises:
        UserError: fewer cells than prompts, or more than the grid has.
    """
    whole = prompts * examples
    count = math.ceil(round(cells * whole, 6)) if cells <= 1 else int(cells)
    if count < prompts:
        raise UserError(
            f"config key evaluation.cells: {cells:g} is {count} of {whole} cells, fewer than the {prompts} "
            f"prompts; use at least {prompts}"
        )
    if count > whole:
        raise UserError(
            f"config key evaluation.cells: {cells:g} cells, but {prompts} prompts x {examples} examples have only "
            f"{whole}; use a share such as 0.2, or leave it out to answer all of them"
        )
    return count


def check_figures(until: Collection[str], prompts: int, examples: int) -> None:
    """Refuse ``evaluation.until`` for a figure that the grid does not have.

    Raises:
        UserError: the 5 % quantile of a single prompt, or of a single example.
    """
    if "quantile_05" in until and min(prompts, examples) < 2:
        raise UserError(
            "config key evaluation.until: quantile_05 needs at least two test prompts and two test examples, "
            f"found {prompts} and {examples}; use mean"
        )


def rounds(prompts: int, examples: int, most: int) -> list[int]:
    """Return the numbers of cells after which is looked whether they suffice, up to ``most``."""
    counts = [min(most, max(math.ceil(FIRST * prompts * examples), 2 * prompts))]
    while counts[-1] < most:
        counts.append(min(most, math.ceil(counts[-1] * GROWTH)))
    return counts


def plan_cells(prompts: int, examples: int, count: int, seed: int) -> np.ndarray:
    """Return which cells are answered, ``(prompts, examples)``, True for ``count`` of them.

    All prompts get the same number of examples, or one more. All examples get the same number of prompts, or one
    more, up to half of the grid and with no more prompts than examples; beyond that, where the examples that a
    prompt still lacks are few, some may differ by more. Within that the choice is random.
    """
    planned = np.ones((prompts, examples), dtype=bool)
    if count < prompts * examples:
        planned[:] = False
        order = _order(prompts, examples, count, random.Random(f"{seed}:cells"))
        planned[tuple(np.array(order[:count]).T)] = True
    return planned


def _order(prompts: int, examples: int, count: int, draw: random.Random) -> list[tuple[int, int]]:
    """Return at least the first ``count`` cells of the order.

    Prompts come in rounds that hold each of them once, examples in rounds that hold each of them once. A round of
    examples is filled as a whole, so that what it holds does not depend on ``count``.
    """
    used: list[set[int]] = [set() for _ in range(prompts)]
    queue: list[int] = []
    order: list[tuple[int, int]] = []
    while len(order) < count:
        while len(queue) < examples:
            queue += draw.sample(range(prompts), prompts)
        slots, queue = queue[:examples], queue[examples:]
        matched = _matched(slots, examples, used, draw)
        order += zip(slots, matched, strict=True)
    return order


def _matched(slots: list[int], examples: int, used: list[set[int]], draw: random.Random) -> list[int]:
    """Give each slot of a round, which is a prompt, an example of its own that its prompt has not had.

    Slots are matched one after another by augmenting paths (Kuhn's algorithm): a slot that finds no free example
    takes that of an earlier slot which can move to another. Where no matching holds all slots, the slot gets the
    example, of those that its prompt has not had, that was asked least.
    """
    free = draw.sample(range(examples), examples)
    matched: dict[int, int] = {}
    lost = [slot for slot in range(len(slots)) if not _augment(slot, slots, matched, free, used)]
    for slot, example in matched.items():
        used[slots[slot]].add(example)
    for slot in lost:
        had = used[slots[slot]]
        asked = Counter(itertools.chain.from_iterable(used))
        matched[slot] = min((example for example in range(examples) if example not in had), key=asked.__getitem__)
        had.add(matched[slot])
    return [matched[slot] for slot in range(len(slots))]


def _augment(slot: int, slots: list[int], matched: dict[int, int], free: list[int], used: list[set[int]]) -> bool:
    """Find an example for a slot, moving earlier slots to other examples if need be; return whether there is one.

    The search is in order of the number of slots moved (a shortest augmenting path).

    Args:
        matched: the example of each slot matched so far; changed in place.
        free: the examples that no slot has, in random order; the one taken is removed.
    """
    wanted_by: dict[int, int] = {}  # the slot that would take over an earlier slot's example, by that earlier slot
    queue = deque([slot])
    while queue:
        wanting = queue.popleft()
        had = used[slots[wanting]]
        at = next((i for i, example in enumerate(free) if example not in had), None)
        if at is not None:
            gets = free.pop(at)
            while wanting != slot:  # each slot of the path hands its example to the one before
                matched[wanting], gets = gets, matched[wanting]
                wanting = wanted_by[wanting]
            matched[slot] = gets
            return True
        for other, example in matched.items():
            if other not in wanted_by and example not in had:
                wanted_by[other] = wanting
                queue.append(other)
    return False
