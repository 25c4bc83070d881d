"""A model in this process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paft.engine.engine import Engine
from paft.errors import TooLongError
from paft.models.adapters import with_adapter
from paft.models.chat import ChatFormat
from paft.models.thoughts import tag_of
from paft.types import AnswerSettings, Conversation


class LocalModel(Engine):
    """An :class:`~paft.engine.engine.Engine` as the model of a run: it can be trained and takes adapters."""

    def __init__(
        self, model: Any, format: ChatFormat, batch_tokens: int | None = None, say: Callable[[str], None] = print
    ):
        super().__init__(model, format, batch_tokens, say)
        if format.thought:
            say(
                f"the chat template opens a thought ({tag_of(format.thought)}): answers are scored and trained "
                "after an empty one; without an adapter, generated answers follow the model's own thoughts, which "
                "count towards evaluation.max_new_tokens"
            )

    def check(
        self,
        conversations: Sequence[Conversation],
        options: Sequence[Sequence[str]],
        settings: AnswerSettings,
    ) -> None:
        """Refuse questions that are longer than the model's positions.

        Raises:
            TooLongError: names the longest.
        """
        answer = settings.max_new_tokens
        if settings.mode == "likelihood":
            texts = {text for candidates in options for text in candidates}
            answer = max(len(self.format.answer(text) + self.format.end) for text in texts)
        likely = max(conversations, key=lambda c: len(c.user) + len(c.system or ""))
        try:
            self.encode([likely], longest=answer)  # refuses at once what is far too long
        except TooLongError as error:
            raise TooLongError(str(error), conversations.index(likely)) from None
        self.encode(conversations, longest=answer)

    def announce(self, conversations: Iterable[Conversation], settings: AnswerSettings) -> None:
        """Return None: the answers cost only time."""

    def usage(self) -> None:
        """Return None: the answers cost only time."""

    def answer_tokens(self, answer: str) -> list[int]:
        """Return the token ids of an answer as it stands after the prompt."""
        return self.format.answer(answer)

    @contextmanager
    def use_adapter(self, folder: Path | None) -> Iterator[None]:
        """Answer with a saved adapter inside the block."""
        if folder is None:
            yield
            return
        with with_adapter(self, folder):
            yield
