"""Errors that are part of the interface: one line that says what to fix."""

from collections.abc import Iterable

LONGEST = 1_000
"""Characters of an error's line; text quoted from a file may have any length."""

STOPPED = "paft: stopped; run the same command again to resume"
"""What Ctrl-C prints; the exit code is 130."""


class LineError(Exception):
    """An error of one line, whatever it quotes: line ends and control characters in it become spaces."""

    def __init__(self, text: str):
        line = "".join(c if c.isprintable() else " " for c in text)
        super().__init__(line if len(line) <= LONGEST else f"{line[:LONGEST]} ...")


class UserError(LineError):
    """A mistake that the user can fix. The command line prints it as one line and exits with 2."""


class TooLongError(UserError):
    """A question that does not fit the model.

    Attributes:
        index: of the question among those that were given.
    """

    def __init__(self, text: str, index: int):
        super().__init__(text)
        self.index = index


class WorkError(LineError):
    """Work that failed for an outside reason, such as a server that is down. One line, and exit code 1."""


def one_line(error: object, longest: int = 300) -> str:
    """Return what an error says, its lines joined and cut, or its class where it says nothing."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def first_line(error: object) -> str:
    """Return the first line of what an error says, or its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name most like ``name``, else the known names in order."""
    from rapidfuzz import fuzz, process

    names = sorted(str(k) for k in known)  # a set has another order in each run
    best = process.extractOne(name, names, scorer=fuzz.ratio, processor=str.lower, score_cutoff=60)
    if best:
        return f"; did you mean {best[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
