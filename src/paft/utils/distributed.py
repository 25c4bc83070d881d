"""The processes of one run, as ``torchrun`` or ``accelerate launch`` starts them.

The main process locks the run directory and does the work that is done once. Training averages gradients over all
processes (transformers.Trainer), and the test prompts are sharded across them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

T = TypeVar("T")

WAIT = timedelta(days=7)
"""How long a process waits for another: stage 1 and a baseline's search run in the main process alone."""


def launched() -> int:
    """Return how many processes a launcher has started for this command."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def destroy_group() -> None:
    """Leave the process group before this process ends; threads that are still running then may abort it."""
    if launched() == 1:
        return
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Processes:
    """This process among those of the run; the only one unless a launcher has started more."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls, device: str = "auto") -> "Processes":
        """Join the other processes that the launcher has started; each then has its own device.

        Args:
            device: what ``model.device`` takes; on the CPU the processes communicate through gloo.

        Raises:
            UserError: several processes cannot use that device.
        """
        if launched() == 1:
            return cls()
        from accelerate import PartialState

        from paft.utils.device import pick_device

        state = PartialState(cpu=pick_device(device, launched()).type == "cpu", timeout=WAIT)
        return cls(state.process_index, state.num_processes)

    @property
    def is_sharded(self) -> bool:
        """Whether the launcher shards the model itself across the processes while it trains."""
        return "true" in (os.environ.get("ACCELERATE_USE_FSDP"), os.environ.get("ACCELERATE_USE_DEEPSPEED"))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that does the work that is done once."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's items, every ``size``-th one; the shards together hold each item once."""
        return items[self.rank :: self.size]

    def once(self, work: Callable[[], T]) -> T:
        """Do the work in the main process and return its result in every process.

        If it fails, the other processes exit silently; the main process reports the error.
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

    @contextmanager
    def in_main(self, context: AbstractContextManager[None]) -> Iterator[None]:
        """Hold a context, such as a lock, in the main process; every process goes on once it is entered.

        If it cannot be entered, the other processes exit silently; the main process reports the error.
        """
        with ExitStack() as stack:
            self.once(partial(stack.enter_context, context))
            yield

    def each(self, work: Callable[[], T]) -> T:
        """Do each process's own work, and return its result when all have finished.

        If it fails in one, the others finish theirs and exit silently; the one reports the error.
        """
        if self.size == 1:
            return work()
        from torch.distributed import all_gather_object

        failed = [False] * self.size
        try:
            result = work()
        except Exception:
            all_gather_object(failed, True)
            raise
        all_gather_object(failed, False)
        if any(failed):
            raise SystemExit(2)
        return result

    def wait(self) -> None:
        """Block until every process has reached this call."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE = Processes()
