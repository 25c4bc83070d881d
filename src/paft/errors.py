"""Errors that are part of the interface: what the user can mend, said in one line."""

from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend. The command line prints it as one line and exits with 2."""


class WorkError(Exception):
    """Work that failed for a reason outside, such as a server that is down. One line, and exit code 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name most like ``name``, or the list of known names."""
    from rapidfuzz import process

    names = [str(k) for k in known]
    best = process.extractOne(name, names, processor=str.lower, score_cutoff=60)
    return f"; did you mean {best[0]!r}?" if best else f"; known: {', '.join(names)}"
