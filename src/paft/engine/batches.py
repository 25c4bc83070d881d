"""Which questions are computed together: those that share a long beginning, such as an article, in one batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from paft.engine.pack import common_prefix_length

T = TypeVar("T")


def by_beginning(prompts: Sequence[Sequence[int]], cached: int) -> list[list[int]]:
    """Group prompts that share a long beginning.

    In a group, each prompt shares at least half of its tokens with the prompt before it, and half of that one's.
    Prompts that share less stay in their order.

    Args:
        prompts: token ids.
        cached: how many tokens at the beginning of every prompt do not count, as the model's cache holds them.

    Returns:
        The indices of the prompts of each group, sorted by their tokens; groups in order of their first prompt.
    """
    groups: list[list[int]] = []
    before: Sequence[int] = ()
    for index in sorted(range(len(prompts)), key=lambda index: list(prompts[index])):
        prompt = prompts[index]
        shared = common_prefix_length(before, prompt) - cached
        if groups and 2 * shared >= max(len(before), len(prompt)) - cached:
            groups[-1].append(index)
        else:
            groups.append([index])
        before = prompt
    return sorted(groups, key=min)


def cut_into_batches(
    groups: Iterable[Sequence[int]],
    size: Callable[[int, int | None], int],
    room: int,
    most: int | None = None,
) -> Iterator[list[int]]:
    """Yield the indices of each batch; a group is cut only if it exceeds a batch.

    Args:
        size: returns the new tokens of a prompt, given its index and that of the prompt before it, which is of the
            same group and batch; None if there is none.
        room: the most new tokens of a batch of several prompts.
        most: the most prompts of a batch; None for no limit.
    """
    batch: list[int] = []
    free = room
    for group in groups:
        sizes = [size(index, before) for before, index in zip((None, *group), group, strict=False)]
        fits = sum(sizes) <= free and (most is None or len(batch) + len(group) <= most)
        if batch and not fits:
            yield batch
            batch, free = [], room
        for index, needed in zip(group, sizes, strict=True):
            if batch and (needed > free or len(batch) == most):
                yield batch
                batch, free, needed = [], room, size(index, None)
            batch.append(index)
            free -= needed
    if batch:
        yield batch


def in_order(batches: Iterable[tuple[Sequence[int], Sequence[T]]]) -> Iterator[list[T]]:
    """Yield results in the order of their indices, each as soon as all results before it are there.

    Args:
        batches: the indices and the results of each batch; together they hold all indices from 0 on.
    """
    waiting: dict[int, T] = {}
    first = 0
    for indices, results in batches:
        waiting |= zip(indices, results, strict=True)
        ready = []
        while first in waiting:
            ready.append(waiting.pop(first))
            first += 1
        if ready:
            yield ready
