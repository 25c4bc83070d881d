"""Texts that were filled in for one example, turned back into templates."""

from collections.abc import Mapping, Sequence

from paft.prompts.importing.braces import escaped
from paft.prompts.importing.entry import UnreadableError


def unfill(texts: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return templates with the slot ``{name}`` where the texts hold the value of that name.

    Raises:
        UnreadableError: a value does not stand exactly once in the texts, overlaps another or cuts a word.
    """
    spans: list[tuple[int, int, int, str]] = []
    for name, value in values.items():
        places = [(number, start) for number, text in enumerate(texts) for start in _starts(text, value)]
        if len(places) != 1:
            problem = "more than once in the text" if places else "nowhere in the text"
            raise UnreadableError(f"it is filled in for one example, whose {name} stands {problem}")
        (number, start), end = places[0], places[0][1] + len(value)
        if _cuts_word(texts[number], start) or _cuts_word(texts[number], end):
            raise UnreadableError(f"it is filled in for one example, whose {name} stands within a word")
        spans.append((number, start, end, name))
    return [_template(text, sorted(s[1:] for s in spans if s[0] == number)) for number, text in enumerate(texts)]


def _starts(text: str, value: str) -> list[int]:
    """Return where a value begins in a text: the first two places."""
    first = text.find(value)
    second = text.find(value, first + 1) if first >= 0 else -1
    return [start for start in (first, second) if start >= 0]


def _cuts_word(text: str, position: int) -> bool:
    return text[position - 1 : position].isalnum() and text[position : position + 1].isalnum()


def _template(text: str, spans: list[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end, name in spans:
        if start < position:
            raise UnreadableError(f"it is filled in for one example, whose {name} overlaps another value")
        parts += [escaped(text[position:start]), f"{{{name}}}"]
        position = end
    return "".join([*parts, escaped(text[position:])])
