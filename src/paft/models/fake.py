"""A deterministic model without weights, for tests of everything that is not learning."""

from collections.abc import Callable, Iterator, Sequence

from paft.models.model import before_stop
from paft.types import Conversation, Finish, Generation


class FakeModel:
    """Answers with a function of the conversation.

    Attributes:
        asked: every conversation so far, in order.
    """

    def __init__(self, answer: Callable[[Conversation], str]):
        self.answer = answer
        self.asked: list[Conversation] = []

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield 0 for the option that is the answer and -1 for the others, one conversation per batch."""
        for conversation, texts in zip(conversations, options, strict=True):
            self.asked.append(conversation)
            answer = self.answer(conversation)
            yield [[0.0 if text == answer else -1.0 for text in texts]]

    def generate(
        self, conversations: Sequence[Conversation], max_new_tokens: int, stop: Sequence[str] = ()
    ) -> Iterator[Sequence[Generation]]:
        """Yield the answers, one conversation per batch, cut before ``stop`` and to ``max_new_tokens`` words.

        Each word counts as one token, and so does the end.
        """
        for conversation in conversations:
            self.asked.append(conversation)
            words = before_stop(self.answer(conversation), stop).split()
            kept = words[:max_new_tokens]
            finish: Finish = "stop" if len(kept) == len(words) else "length"
            yield [Generation(" ".join(kept), len(kept) + 1, finish)]
