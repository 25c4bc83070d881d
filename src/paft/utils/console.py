"""What a run prints while it works: lines, and a progress bar in a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from paft.errors import STOPPED

SILENCE = 60.0
"""Seconds after which a long step reports its progress, in a terminal or not."""


class Tick(Protocol):
    """Reports progress: how many more units are done and, where useful, a note."""

    def __call__(self, done: int, note: str = "", *, earlier: bool = False) -> None:
        """Count ``done`` units; those of an ``earlier`` call are progress, but not part of the speed."""


class Console:
    """Lines and progress on standard error; with ``quiet`` nothing but errors. Results go to standard output."""

    def __init__(self, *, quiet: bool = False):
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Tick]:
        """Show the progress of a long step: a bar in a terminal, elsewhere a line per fifth or per minute."""
        if self.quiet:
            yield lambda done, note="", *, earlier=False: None
        elif sys.stderr.isatty():
            with _bar() as bar:
                task = bar.add_task(title, total=total, note="")
                count = 0

                def tick(done: int, note: str = "", *, earlier: bool = False) -> None:
                    nonlocal count
                    count += done
                    if earlier:
                        bar.reset(task, completed=count)
                    else:
                        bar.update(task, advance=done, note=note)

                yield tick
        else:
            yield self._lines(title, total)

    def _lines(self, title: str, total: int) -> Tick:
        started = last = time.monotonic()
        count = skipped = 0

        def tick(done: int, note: str = "", *, earlier: bool = False) -> None:
            nonlocal count, skipped, last
            before, count = count, count + done
            if earlier:
                skipped += done
                return
            now = time.monotonic()
            if count * 5 // max(total, 1) == before * 5 // max(total, 1) and now - last < SILENCE:
                return
            last = now
            left = (now - started) / max(count - skipped, 1) * (total - count)
            parts = [f"{count}/{total} after {clock(now - started)}", f"{clock(left)} left" * (left > 0), note]
            self.say(f"{title}: {', '.join(filter(None, parts))}")

        return tick


@contextmanager
def interruptible() -> Iterator[None]:
    """Report on Ctrl-C how to resume, and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{STOPPED}", file=sys.stderr)
        raise SystemExit(130) from None


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which is given in the plural."""
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun}"


def clock(seconds: float) -> str:
    """Return a time as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


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
