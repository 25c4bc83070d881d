"""Control tokens, such as ``<|im_end|>``: the chat template may write them, a user's text may not.

A tokenizer looks for its control tokens everywhere in a text. So where a user's text holds one, its text is marked
before the template is rendered, and encoded by a copy of the tokenizer in which every control token has another
text: there ``<|im_end|>`` is ordinary text. The copy differs in nothing else, so the ids are the tokenizer's own,
also where the template's text and the user's meet.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from paft.errors import UserError

_HIDDEN, _RENAMED = ("\ufdd0", "\ufdd1"), ("\ufdd2", "\ufdd3")
"""Marks around the number of a control token: its text written by a user, and its other text in the copy. Unicode
reserves these four characters for internal use."""
_INTERNAL = re.compile("[\ufdd0-\ufdd3]")
_FIRST = 0xF0000
"""The character that stands for number 0, of a plane for private use."""


class ControlTokens:
    """The control tokens of a tokenizer: its special tokens, and added tokens that the chat template writes.

    Tokens of a single sign or of letters and digits only, such as CLIP's ``!``, are ordinary text.

    Args:
        template: the chat template; empty to take the special tokens only.
    """

    def __init__(self, tokenizer: Any, template: str):
        self._tokenizer = tokenizer
        ids = {
            str(token): id
            for id, token in tokenizer.added_tokens_decoder.items()
            if (token.special or str(token) in template) and _is_markup(str(token))
        }
        self._ids = frozenset(ids.values())
        self._texts = sorted(ids, key=lambda text: (-len(text), text))  # a regex takes the first that fits
        self._numbers = {text: chr(_FIRST + i) for i, text in enumerate(self._texts)}
        self._pattern = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")

    def among(self, ids: Iterable[int]) -> list[int]:
        """Return those ids that are control tokens, in order."""
        return list(filter(self._ids.__contains__, ids))

    def hide(self, text: str) -> str:
        """Return a user's text with a mark in place of the text of each control token.

        Raises:
            UserError: the text holds such a mark itself.
        """
        if match := _INTERNAL.search(text):
            raise UserError(
                f"a text holds a control token and the reserved character U+{ord(match[0]):04X}; remove the "
                f"character from {_excerpt(text, match.start())}"
            )
        return self._replace(text, _HIDDEN)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without those that a tokenizer adds at both ends.

        Args:
            text: hidden control tokens in it become ordinary text, the others control tokens.

        Raises:
            UserError: this tokenizer cannot tell the two apart.
        """
        ids = self._encode(self._restore(self._replace(text, _RENAMED), _HIDDEN)) if self._encode else None
        if ids is None:
            before, _, after = text.partition(_HIDDEN[0])
            where = _excerpt(self._restore(text, _HIDDEN), len(before)) if after else "the text"
            raise UserError(
                "this model's tokenizer always takes the text of a control token for the token; "
                f"remove it from {where}"
            )
        return ids

    @property
    def can_encode(self) -> bool:
        """Whether the tokenizer has a copy with other control tokens; those without the fast library have none."""
        return self._encode is not None

    def _replace(self, text: str, marks: tuple[str, str]) -> str:
        return self._pattern.sub(lambda match: f"{marks[0]}{self._numbers[match[0]]}{marks[1]}", text)

    def _restore(self, text: str, marks: tuple[str, str]) -> str:
        return re.sub(f"{marks[0]}(.){marks[1]}", lambda match: self._texts[ord(match[1]) - _FIRST], text)

    @cached_property
    def _encode(self) -> Callable[[str], list[int] | None] | None:
        """Encode with the renamed control tokens; None where the tokenizer cannot be copied.

        The function returns None if the vocabulary itself makes a control token of ordinary text, or if a control
        token is not found under its other text.
        """
        from tokenizers import Tokenizer

        try:
            state = json.loads(self._tokenizer.backend_tokenizer.to_str())
            added = [
                (token["content"], self._replace(token["content"], _RENAMED)) for token in state["added_tokens"]
            ]
            added = [(old, new if old in self._numbers else old) for old, new in added]
            for token, (_, new) in zip(state["added_tokens"], added, strict=True):
                token["content"] = new
            copy = Tokenizer.from_str(json.dumps(state))
        except (
            Exception
        ):  # not of this library, or with parts written in Python; tokenizers raises bare Exceptions
            return None
        copy.no_padding()
        copy.no_truncation()
        own = {copy.token_to_id(new): self._tokenizer.convert_tokens_to_ids(old) for old, new in added}
        renamed = {copy.token_to_id(new) for old, new in added if old != new}

        def encode(text: str) -> list[int] | None:
            ids = copy.encode(text, add_special_tokens=False).ids
            made = any(id in self._ids and id not in own for id in ids)
            lost = sum(id in renamed for id in ids) != text.count(_RENAMED[0])
            return None if made or lost else [own.get(id, id) for id in ids]

        sample = "".join(f"{text} a\n{text}b " for text in self._texts[:64])
        expected = self._tokenizer(sample, add_special_tokens=False)["input_ids"]
        return encode if encode(self._replace(sample, _RENAMED)) == expected else None


def _is_markup(text: str) -> bool:
    return len(text.strip()) > 1 and not text.strip().isalnum()


def _excerpt(text: str, place: int) -> str:
    return repr(text[max(place - 40, 0) : place + 60])
