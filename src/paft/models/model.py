"""What can be asked: a model in this process, or one behind an endpoint. No other package asks which."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from paft.types import AnswerSettings, Conversation, Generation


def before_stop(text: str, stop: Sequence[str]) -> str:
    """Return what comes before the first of the ``stop`` texts; the whole text where none occurs."""
    return text[: min((i for s in stop if (i := text.find(s)) >= 0), default=len(text))]


class Answerer(Protocol):
    """Scores options and writes answers. Both methods yield in batches, in the order of the conversations."""

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihood of each option of each conversation."""
        ...

    def generate(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[Sequence[Generation]]:
        """Yield what the model writes, at temperature 0.

        Args:
            stop: an answer ends before the first of these texts.
        """
        ...


class Model(Answerer, Protocol):
    """A model of a run."""

    def check(
        self,
        conversations: Sequence[Conversation],
        options: Sequence[Sequence[str]],
        settings: AnswerSettings,
    ) -> None:
        """Refuse, before anything is written or trained, questions that the model cannot take.

        Args:
            conversations: every question or the longest ones; the first is the one that is asked, if any is.
            options: the candidates of the first conversations, and the longest that there are.

        Raises:
            UserError: too long, a wrong API key, log-probabilities that an endpoint does not return, ...
        """
        ...

    def announce(self, conversations: Iterable[Conversation], settings: AnswerSettings) -> str | None:
        """Return one line on what asking all of these will cost; None where it costs only time."""
        ...

    def usage(self) -> str | None:
        """Return one line on what the answers have cost; None where they cost only time."""
        ...

    def answer_tokens(self, answer: str) -> list[int] | None:
        """Return the token ids of an answer without its end; None where they are not known here."""
        ...

    def use_adapter(self, folder: Path | None) -> AbstractContextManager[None]:
        """Answer with a saved adapter inside the block; without one where ``folder`` is None."""
        ...
