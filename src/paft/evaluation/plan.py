"""Which cells of the grid of prompts and examples are answered, when not all of them are.

The order of the cells is a pure function of the size of the grid and the seed, and every plan is a beginning of
it. So a larger plan contains the smaller ones, and a run can continue with more cells.
"""

import math
import random

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


def rounds(prompts: int, examples: int, most: int) -> list[int]:
    """Return the numbers of cells after which is looked whether they suffice, up to ``most``."""
    counts = [min(most, max(math.ceil(FIRST * prompts * examples), 2 * prompts))]
    while counts[-1] < most:
        counts.append(min(most, math.ceil(counts[-1] * GROWTH)))
    return counts


def plan_cells(prompts: int, examples: int, count: int, seed: int) -> np.ndarray:
    """Return which cells are answered, ``(prompts, examples)``, True for ``count`` of them.

    All prompts get the same number of examples, or one more. All examples get the same number of prompts, or one
    more; near the whole grid, where the examples that a prompt still lacks are few, one of them may get one less.
    Within that the choice is random.
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

    A slot that finds none among those left takes the example of an earlier slot, which gets one of those left.
    Where even that fails, the slot gets any example that its prompt has not had.
    """
    left = draw.sample(range(examples), examples)
    matched: list[int] = []
    for prompt in slots:
        at = next((i for i, example in enumerate(left) if example not in used[prompt]), None)
        if at is not None:
            example = left.pop(at)
        elif (swap := _swap(prompt, slots, matched, left, used)) is not None:
            earlier, at = swap
            other, example = slots[earlier], matched[earlier]
            matched[earlier] = left.pop(at)
            used[other] = (used[other] - {example}) | {matched[earlier]}
        else:
            example = draw.choice([e for e in range(examples) if e not in used[prompt]])
        matched.append(example)
        used[prompt].add(example)
    return matched


def _swap(
    prompt: int, slots: list[int], matched: list[int], left: list[int], used: list[set[int]]
) -> tuple[int, int] | None:
    """Return an earlier slot whose example the prompt can take, and the place in ``left`` of one for that slot."""
    for earlier, example in enumerate(matched):
        if example not in used[prompt]:
            at = next((i for i, other in enumerate(left) if other not in used[slots[earlier]]), None)
            if at is not None:
                return earlier, at
    return None
