"""Errors that are part of the interface: what the user can mend, said in one line."""

from collections.abc import Iterable

LONGEST = 1_000
"""Characters of an error's line; what is quoted from a file may have any length."""


class LineError(Exception):
    """An error of one line, whatever it quotes: line ends and control characters in it become spaces."""

    def __init__(self, text: str):
        line = "".join(c if c.isprintable() else " " for c in text)
        super().__init__(line if len(line) <= LONGEST else f"{line[:LONGEST]} ...")


class UserError(LineError):
    """A mistake the user can mend. The command line prints it as one line and exits with 2."""


class WorkError(LineError):
    """Work that failed for a reason outside, such as a server that is down. One line, and exit code 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name most like ``name``, or the list of known names."""
    from rapidfuzz import process

    names = [str(k) for k in known]
    best = process.extractOne(name, names, processor=str.lower, score_cutoff=60)
    return f"; did you mean {best[0]!r}?" if best else f"; known: {', '.join(names)}"
