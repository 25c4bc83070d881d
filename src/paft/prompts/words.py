"""The words of a prompt that may be edited: those outside braces."""

import re
from collections.abc import Callable
from dataclasses import replace

from paft.types import Prompt


def brace_depths(text: str) -> list[int]:
    """Return for each position of a text, its end included, how many open braces it is inside."""
    depths = [0]
    for character in text:
        depths.append(max(depths[-1] + (character == "{") - (character == "}"), 0))
    return depths


Word = tuple[str, int, int]
"""A word's part of the prompt, ``system`` or ``text``, with its start and end there."""


def words_of(prompt: Prompt) -> list[Word]:
    """Return the words of two letters or more: shorter ones may be the letters of options."""
    return [
        (part, match.start(), match.end())
        for part, text in (("system", prompt.system or ""), ("text", prompt.text))
        for depths in [brace_depths(text)]
        for match in re.finditer(r"[^\s{}]+", text)
        if re.search(r"[^\W\d_]{2}", match[0]) and "\\" not in match[0] and not depths[match.start()]
    ]


def put_word(prompt: Prompt, word: Word, value: str) -> Prompt:
    """Return the prompt with another text in the place of a word."""
    part, start, end = word
    text = getattr(prompt, part)
    return replace(prompt, **{part: text[:start] + value + text[end:]})


def in_case(prompt: Prompt, change: Callable[[str], str]) -> Prompt:
    """Return the prompt with all its words in another case."""
    for word in reversed(words_of(prompt)):  # from the end, since a capital may be longer
        prompt = put_word(prompt, word, change(getattr(prompt, word[0])[word[1] : word[2]]))
    return prompt
