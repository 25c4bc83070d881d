"""What the readers of prompt files yield."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A prompt of a file, or the reason why it cannot be imported.

    Attributes:
        place: its file, with a line, a number or a name.
        problem: why it cannot be imported; empty if it can.
        note: what the user should know about its import; may be empty.
        is_template: its slots and literal braces are already written in the way of :mod:`paft.prompts.template`.
    """

    place: str
    text: str = ""
    system: str = ""
    problem: str = ""
    note: str = ""
    is_template: bool = False


class UnreadableError(Exception):
    """The reason why one prompt of a file cannot be imported."""
