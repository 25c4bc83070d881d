"""The values that travel between the rooms of the package. They are checked at the seam, then trusted."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Prompt:
    """A whole template with slots; see :mod:`paft.prompts.template` for how it is filled."""

    text: str
    system: str | None = None
    source: str | None = None
    strategy: str | None = None
    model: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", content_hash(self.text, self.system or ""))


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled question of a task.

    ``options`` are the texts to choose from, ``target`` is the index of the right one, ``id`` is the row
    number in the file or split that the example came from.
    """

    id: str
    fields: Mapping[str, str] = field(hash=False)
    options: tuple[str, ...]
    target: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked: the user's text and, where the prompt has one, the system text."""

    user: str
    system: str | None = None


def content_hash(*parts: str) -> str:
    """Return 12 hex digits that depend on the parts and on where one ends and the next begins."""
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]
