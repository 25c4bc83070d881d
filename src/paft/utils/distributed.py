"""The processes of one run, as ``torchrun`` or ``accelerate launch`` starts them: who leads, who does which share.

The first process holds the run directory and does what is to be done once; training averages gradients over all
of them (transformers.Trainer), and the test prompts are dealt out among them.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

WAIT = timedelta(days=7)
"""How long a process waits for another: stage 1 or a baseline's search is the first one's work alone."""


def launched() -> int:
    """Return how many processes a launcher has started for this command."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def destroy_group() -> None:
    """Leave the other processes before this one ends; threads left to its end may abort it."""
    if launched() == 1:
        return
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Processes:
    """This process among those of the run; alone unless a launcher says otherwise."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> "Processes":
        """Meet the other processes that the launcher has started; each then has its own device."""
        if launched() == 1:
            return cls()
        import torch
        from accelerate import PartialState

        state = PartialState(cpu=not torch.cuda.is_available(), timeout=WAIT)
        return cls(state.process_index, state.num_processes)

    @property
    def is_sharded(self) -> bool:
        """Whether the launcher has the model itself spread over the processes while it trains."""
        return "true" in (os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("ACCELERATE_USE_DEEPSPEED"))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes what is written once."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """Return every ``size``-th item; over the processes, each item once."""
        return items[self.rank :: self.size]

    def once(self, work: Callable[[], T]) -> T:
        """Let the first process do the work, and return its result in all of them, which wait for it.

        Where it fails the others exit without a word: the first one says why.
        """
        if self.size == 1:
            return work()
        from torch.distributed import broadcast_object_list

        box: list[tuple[bool, T | None]] = [(False, None)]
        try:
            if self.is_main:
                box = [(True, work())]
        finally:
            broadcast_object_list(box, src=0)
        done, result = box[0]
        if not done:
            raise SystemExit(2)
        return result  # type: ignore[return-value]  # the work's own result, which may be None

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE = Processes()
