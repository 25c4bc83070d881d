"""What a model behind an endpoint is sent through text completions: plain text, or a chat template's tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from paft.models.chat import ChatFormat
from paft.types import Conversation

Text = str | tuple[int, ...]
"""A text, or token ids."""

SET_TOKENIZER = "set model.tokenizer, so that prompts are sent as tokens"


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt with an option after it.

    Attributes:
        text: both together.
        start: where the option begins in it, in characters of a text or in tokens.
        option: what the option's tokens spell.
        end: how many of the last tokens are the end of the answer, which is no part of what they spell.
    """

    text: Text
    start: int
    option: str
    end: int = 0

    def echoed(
        self, tokens: Sequence[str], values: Sequence[float | None], places: Sequence[int], read: int
    ) -> list[tuple[str, float]]:
        """Return the option's tokens of an echo with their log-probabilities.

        Args:
            tokens: of the whole echo; at most one token that was written follows.
            values: their log-probabilities.
            places: the offset of each token in the echoed text.
            read: how many tokens of the prompt the endpoint has counted; 0 if it does not say.

        Raises:
            ValueError: it cannot be told which tokens are the option's, or one has no log-probability.
        """
        is_text = isinstance(self.text, str)
        ranges = self._in_text(tokens, places, read) if is_text else self._in_tokens(len(tokens), read)
        for first, last in ranges:
            spelt = _spelt(tokens[first : last - self.end])
            if _spells(spelt, self.option.strip()):
                break
        else:
            fix = SET_TOKENIZER if is_text else "model.tokenizer must be the tokenizer of this model"
            raise ValueError(
                f"its tokens where the option {self.option.strip()!r} should be spell {spelt!r}; {fix}"
            )
        echoed = [(t, v) for t, v in zip(tokens[first:last], values[first:last], strict=True) if v is not None]
        if len(echoed) < last - first:
            raise ValueError("a token of the option has no log-probability")
        return echoed

    def _in_text(self, tokens: Sequence[str], places: Sequence[int], read: int) -> list[tuple[int, int]]:
        assert isinstance(self.text, str)
        ends = [last for last in (len(tokens) - 1, len(tokens)) if "".join(tokens[:last]).endswith(self.text)]
        last = ends[0] if ends else read or sum(place < len(self.text) for place in places)
        if len(places) != len(tokens) or not 0 < last <= len(tokens):
            raise ValueError("it echoes log-probabilities of a part of the prompt only, or no text_offset")
        # Counted from the end, since some servers count a token before the text, such as <s>, and some do not.
        begin = places[last - 1] + len(tokens[last - 1]) - (len(self.text) - self.start)
        if begin not in places[:last]:
            raise ValueError(f"no token begins where the option {self.option.strip()!r} does; {SET_TOKENIZER}")
        return [(places.index(begin), last)]

    def _in_tokens(self, count: int, read: int) -> list[tuple[int, int]]:
        sent = len(self.text)
        if read not in (0, sent) or count < sent - 1:
            raise ValueError(f"{sent} tokens were sent, and it echoes {read if read not in (0, sent) else count}")
        shifts = (0, 1) if count <= sent else (0,)  # some servers do not echo a first token such as <s>
        return [(self.start - shift, sent - shift) for shift in shifts]


class CompletionPrompts(Protocol):
    """Turns conversations into what a text completion is asked to continue."""

    def prompts(self, conversations: Sequence[Conversation]) -> list[Text]:
        """Return everything before the answer."""
        ...

    def continuations(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Continuation]]:
        """Return each prompt with each of its options after it."""
        ...


class PlainText:
    """The text of a conversation as it is, for a base model; the server's tokenizer cuts it into tokens."""

    def prompts(self, conversations: Sequence[Conversation]) -> list[Text]:
        """Return the system text, an empty line and the user's text, without spaces at the end."""
        return ["\n\n".join(filter(None, (c.system, c.user))).rstrip(" ") for c in conversations]

    def continuations(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Continuation]]:
        """Return each prompt with a space and an option after it."""
        return [
            [Continuation(f"{prompt} {option}", len(prompt), f" {option}") for option in texts]
            for prompt, texts in zip(self.prompts(conversations), options, strict=True)
        ]


class TemplateTokens:
    """The tokens of a chat template, or of plain text, as a model in this process gets them."""

    def __init__(self, format: ChatFormat):
        self.format = format

    def prompts(self, conversations: Sequence[Conversation]) -> list[Text]:
        """Return the token ids of everything before the answer."""
        return [tuple(ids) for ids in self.format.prompts(conversations)]

    def continuations(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> list[list[Continuation]]:
        """Return each prompt with the token ids of each option, and of the end where options share a beginning."""
        rows = zip(self.prompts(conversations), options, self.format.answers(options), strict=True)
        return [
            [
                Continuation((*prompt, *ids, *end), len(prompt), text, len(end))
                for text, ids in zip(texts, answers, strict=True)
            ]
            for prompt, texts, (answers, end) in rows
        ]


def _spells(spelt: str, option: str) -> bool:
    """Return True if tokens spell an option, where one that is a part of a character may stand for anything."""
    if spelt == option or "\ufffd" not in spelt or option.isascii():
        return spelt == option
    return re.fullmatch(".+".join(map(re.escape, re.split("\ufffd+", spelt))), option, re.DOTALL) is not None


def _spelt(tokens: Sequence[str]) -> str:
    return "".join(tokens).replace("\u2581", " ").strip()  # the sign that SentencePiece writes for a space
