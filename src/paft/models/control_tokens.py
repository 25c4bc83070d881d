"""Control tokens, such as ``<|im_end|>``: the chat template may write them, a user's text may not.

A tokenizer looks for its control tokens everywhere in a text. So where a user's text holds one, its text is marked
before the template is rendered, and encoded by a copy of the tokenizer in which every control token has another
text: there ``<|im_end|>`` is ordinary text. The copy differs in nothing else, so the ids are the tokenizer's own,
also where the template's text and the user's meet.
"""

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

from paft.errors import UserError

_FIRST = 0xF0000
"""The character that stands for control token number 0, of a plane for private use."""


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
        # the marks around a number: random, so that no text holds one; of digits, which no normalizer changes
        self._hidden, self._renamed = [(f"\ufdd0{secrets.randbelow(10**18):018}", "\ufdd1") for _ in range(2)]
        self._pattern = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")

    def among(self, ids: Iterable[int]) -> list[int]:
        """Return those ids that are control tokens, in order."""
        return list(filter(self._ids.__contains__, ids))

    def hide(self, text: str) -> str:
        """Return a user's text with a mark in place of the text of each control token."""
        return self._replace(text, self._hidden)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without those that a tokenizer adds at both ends.

        Args:
            text: hidden control tokens in it become ordinary text, the others control tokens.

        Raises:
            UserError: this tokenizer cannot tell the two apart.
        """
        plain = self._restore(self._replace(text, self._renamed), self._hidden)
        hidden = {self._texts[ord(number) - _FIRST] for number in re.findall(f"{self._hidden[0]}(.)", text)}
        ids = self._encode(plain, hidden) if self._encode else None
        if ids is None:
            place = text.find(self._hidden[0])
            raise UserError(
                "this model's tokenizer always takes the text of a control token for the token; "
                f"remove it from {_excerpt(self._restore(text, self._hidden), max(place, 0))}"
            )
        return ids

    @property
    def can_encode(self) -> bool:
        """Whether the tokenizer has a copy with other control tokens; those without the fast library have none."""
        return self._encode is not None

    def _replace(self, text: str, marks: Sequence[str]) -> str:
        return self._pattern.sub(lambda match: f"{marks[0]}{self._numbers[match[0]]}{marks[1]}", text)

    def _restore(self, text: str, marks: Sequence[str]) -> str:
        return re.sub(f"{marks[0]}(.){marks[1]}", lambda match: self._texts[ord(match[1]) - _FIRST], text)

    @cached_property
    def _encode(self) -> Callable[[str, Collection[str]], list[int] | None] | None:
        """Encode with the renamed control tokens; None where the tokenizer cannot be copied.

        The function takes a text and the control tokens that are ordinary text in it. It returns None if the
        vocabulary itself makes one of these of its text, or if a control token is not found under its other text.
        """
        from tokenizers import Tokenizer

        try:
            state = json.loads(self._tokenizer.backend_tokenizer.to_str())
            texts = [token["content"] for token in state["added_tokens"]]
            for token in state["added_tokens"]:
                if token["content"] in self._numbers:
                    token["content"] = self._replace(token["content"], self._renamed)
            copy = Tokenizer.from_str(json.dumps(state))
        except Exception:  # of another library, or with parts in Python; tokenizers raises the bare class
            return None
        copy.no_padding()
        copy.no_truncation()
        id_of = self._tokenizer.convert_tokens_to_ids
        copied = [copy.token_to_id(token["content"]) for token in state["added_tokens"]]
        own = dict(zip(copied, map(id_of, texts), strict=True))
        renamed = {id for id, text in zip(copied, texts, strict=True) if text in self._numbers}

        def encode(text: str, ordinary: Collection[str] = ()) -> list[int] | None:
            ids = copy.encode(text, add_special_tokens=False).ids
            made = set(map(id_of, ordinary)).intersection(ids) - own.keys()
            lost = sum(id in renamed for id in ids) != text.count(self._renamed[0])
            return None if made or lost else [own.get(id, id) for id in ids]

        samples = [f"{text} a" for text in self._texts[:64]]  # a tokenizer may do more than its library's part
        expected = [self._tokenizer.encode(sample, add_special_tokens=False) for sample in samples]
        encoded = [encode(self._replace(sample, self._renamed)) for sample in samples]
        return encode if encoded == expected else None


def _is_markup(text: str) -> bool:
    return len(text.strip()) > 1 and not text.strip().isalnum()


def _excerpt(text: str, place: int) -> str:
    return repr(text[max(place - 40, 0) : place + 60])
