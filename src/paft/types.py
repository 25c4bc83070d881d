"""The values that travel between the packages. They are checked where they enter, then trusted."""

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LETTERS = string.ascii_uppercase
"""The letters of an example's options, in order; a prompt shows single options in slots of these names."""
SHOTS = "shots"
"""The slot of the demonstrations."""


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
            object.__setattr__(self, "id", self.content)

    @property
    def content(self) -> str:
        """The hash of its text: its id, unless its file names another, or its text was edited beside the id."""
        return content_hash(self.text, self.system or "")


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled question of a task.

    Attributes:
        id: the row number in the file or split that the example came from.
        options: the texts to choose from; none in a free-text task.
        target: the index of the right option; None in a free-text task.
        targets: the accepted answers of a free-text task. The first one is trained on.
    """

    id: str
    fields: Mapping[str, str] = field(hash=False)
    options: tuple[str, ...] = ()
    target: int | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked: the user's text and, where the prompt has one, the system text."""

    user: str
    system: str | None = None


Mode = Literal["likelihood", "generate"]
"""How a model is asked: by the likelihood of given options, or by letting it write an answer."""


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How a model is asked, as the section ``evaluation`` of a config says.

    Attributes:
        max_new_tokens: the longest written answer.
        stop: a written answer ends before the first of these texts.
    """

    mode: Mode
    max_new_tokens: int
    stop: tuple[str, ...] = ()


CalibrationKind = Literal["batch", "consensus"]
"""What is taken for a preference that a prompt brings; see :mod:`paft.evaluation.calibration`."""
Finish = Literal["stop", "length", "refused", "error"]
"""Why a model stopped: its answer was complete, it hit the token limit, or a provider refused or failed."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote.

    Attributes:
        tokens: how many it took, the end token included; 0 where an endpoint does not say.
        finish: why it stopped; None where that is not known.
    """

    text: str
    tokens: int
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How an output was judged.

    Attributes:
        value: from 0 (wrong) to 1 (right).
        answer: what was read from the output; None where no answer could be read, and ``value`` is 0 then.
        explanation: why, for a person who reads the report; may be empty.
    """

    value: float
    answer: str | None
    explanation: str = ""


def content_hash(*parts: str) -> str:
    """Return 12 hex digits that depend on the parts and on where one ends and the next begins."""
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]
