"""What a run says while it works: one line a fact, and a progress bar where there is a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Tick(Protocol):
    """Reports progress: how many more units are done and, where useful, a word on the state."""

    def __call__(self, done: int, note: str = "") -> None: ...  # noqa: D102


class Console:
    """Lines and progress on standard error; quiet says errors only.

    Results go to standard output and are none of this class's business.
    """

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Tick]:
        """Show how far a long step is: a bar in a terminal, a line every fifth of the way elsewhere."""
        if self.quiet:
            yield lambda done, note="": None
        elif sys.stderr.isatty():
            with _bar() as bar:
                task = bar.add_task(title, total=total, note="")
                yield lambda done, note="": bar.update(task, advance=done, note=note)
        else:
            yield self._lines(title, total)

    def _lines(self, title: str, total: int) -> Tick:
        started = time.monotonic()
        so_far = 0

        def tick(done: int, note: str = "") -> None:
            nonlocal so_far
            before, so_far = so_far, so_far + done
            if so_far * 5 // max(total, 1) > before * 5 // max(total, 1):
                seconds = time.monotonic() - started
                self.say(f"{title}: {so_far}/{total} after {seconds:.0f} s{' ' * bool(note)}{note}")

        return tick


def _bar():  # type: ignore[no-untyped-def]
    from rich import progress
    from rich.console import Console as RichConsole

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
        console=RichConsole(stderr=True),
    )
