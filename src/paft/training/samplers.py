"""Stage 2: which example and which prompt at which step, a pure function of the seed.

Section 3.3 of the paper: in each of T epochs the examples are gone over once; a prompt is drawn uniformly from
the training prompts, kept for K iterations, then drawn anew. An iteration is one optimiser step, so neither
accumulation nor the number of processes changes which example meets which prompt.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Schedule(Generic[T]):
    """Which prompt serves a step. A fixed prompt is the schedule with one prompt.

    Attributes:
        prompts: the training prompts.
        K: optimiser steps that one drawn prompt is kept for.
        steps_per_epoch: optimiser steps in an epoch; a prompt is drawn anew where an epoch begins.
        seed: the only source of chance.
    """

    prompts: Sequence[T]
    K: int
    steps_per_epoch: int
    seed: int

    def __call__(self, step: int) -> T:
        """Return the prompt of an optimiser step, counted from 0 over all epochs."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        draw = random.Random(f"prompt:{self.seed}:{epoch}:{step_in_epoch // self.K}")
        return self.prompts[draw.randrange(len(self.prompts))]


@lru_cache(maxsize=2)
def epoch_order(size: int, seed: int, epoch: int) -> tuple[int, ...]:
    """Return the order in which an epoch visits the examples 0 to ``size - 1``, each once."""
    return tuple(random.Random(f"order:{seed}:{epoch}").sample(range(size), size))
