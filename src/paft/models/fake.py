"""A deterministic model without weights, for tests of everything that is not learning."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paft.types import Conversation


@dataclass(frozen=True)
class FakeGeneration:
    """What the fake model wrote; a token a word and one for the end."""

    text: str

    @property
    def tokens(self) -> int:
        """Return the number of tokens."""
        return len(self.text.split()) + 1


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
        """Yield 0 for the option that is the answer and -1 for the others, one conversation a batch."""
        for conversation, texts in zip(conversations, options, strict=True):
            self.asked.append(conversation)
            answer = self.answer(conversation)
            yield [[0.0 if text == answer else -1.0 for text in texts]]

    def generate(
        self, conversations: Sequence[Conversation], max_new_tokens: int
    ) -> Iterator[Sequence[FakeGeneration]]:
        """Yield the answers, cut to ``max_new_tokens`` words, one conversation a batch."""
        for conversation in conversations:
            self.asked.append(conversation)
            yield [FakeGeneration(" ".join(self.answer(conversation).split()[:max_new_tokens]))]
