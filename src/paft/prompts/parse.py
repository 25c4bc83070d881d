"""Read prompts from what a language model wrote: from JSON, else from a list, else from paragraphs."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from paft.prompts.template import single_braces, slot_matches, with_line_ends
from paft.scoring.text import without_thoughts
from paft.types import Prompt

LONGEST = 6000
"""Length limit of a prompt, in characters; longer ones are runaway answers."""

_KEYS = ("text", "prompt", "template", "content", "instruction")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_ITEM = re.compile(
    r"^[ \t]*(?:(?:prompt|template)[ \t]*)?(?:\d{1,3}[.):]|[-*\u2022])[ \t]+", re.IGNORECASE | re.MULTILINE
)
_PARAGRAPH = re.compile(r"\n[ \t]*(?:-{3,}[ \t]*)?\n")


def prompts_in(answer: str, *, most: int) -> list[Prompt]:
    """Return at most ``most`` prompts of an answer, cleaned; text around them that has no slot is ignored."""
    prompts: list[Prompt] = []
    for text, system in _written(without_thoughts(answer)):
        prompt = Prompt(_meant(text), _meant(system) or None)
        if _has_slot(prompt.text) and len(prompt.text) <= LONGEST and prompt not in prompts:
            prompts.append(prompt)
            if len(prompts) == most:
                break
    return prompts


def texts_in(answer: str, *, most: int) -> list[str]:
    """Return at most ``most`` different texts of an answer: of its JSON, else of its list, else its paragraphs."""
    answer = without_thoughts(answer)
    for reading in (_json, _strings, _items, _paragraphs):
        texts = list(dict.fromkeys(filter(None, (clean(text) for text, _ in reading(answer)))))
        if texts:
            return texts[:most]
    return []


def clean(text: str) -> str:
    """Return a template with real line ends, without control characters, and without quotes around it."""
    text = with_line_ends(unicodedata.normalize("NFC", text).replace("\r\n", "\n"))
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs", "Co")).strip()
    while text[:1] + text[-1:] in ('""', "''", "``", "\u201c\u201d") and text[:1] not in text[1:-1]:
        text = text[1:-1].strip()
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _meant(text: str) -> str:
    r"""Return a template that a language model wrote.

    It was shown slots in single braces and no escapes, so double braces are slots and every ``\n`` is a line end.
    """
    return single_braces(clean(text.replace("\\n", "\n")))


def _has_slot(text: str) -> bool:
    return next(slot_matches(text), None) is not None


def _written(answer: str) -> Iterator[tuple[str, str]]:
    """Yield ``(text, system)`` of everything that may be a prompt, by the first reading that finds any."""
    for reading in (_json, _strings, _items, _paragraphs):
        pairs = [pair for pair in reading(answer) if _has_slot(_meant(pair[0]))]
        if pairs:
            yield from pairs
            return


def _json(answer: str) -> Iterator[tuple[str, str]]:
    """Read the first JSON value that is a list or an object, wherever in the answer it begins."""
    decoder = json.JSONDecoder(strict=False)
    for match in re.finditer(r"[\[{]", answer):
        try:
            value, _ = decoder.raw_decode(answer, match.start())
        except (ValueError, RecursionError):
            continue
        pairs = list(_texts(value))
        if pairs:
            yield from pairs
            return


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield value, ""
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        text = next((value[key] for key in _KEYS if isinstance(value.get(key), str)), None)
        if text is not None:
            system = value.get("system")
            yield text, system if isinstance(system, str) else ""
        else:
            yield from _texts([v for v in value.values() if isinstance(v, list | dict)])


def _strings(answer: str) -> Iterator[tuple[str, str]]:
    """Read the complete strings of truncated JSON."""
    if not re.match(r"\s*(?:```\w*\s*)?[\[{]", answer):
        return
    for match in _STRING.finditer(answer):
        try:
            yield json.loads(match[0], strict=False), ""
        except ValueError:
            continue


def _items(answer: str) -> Iterable[tuple[str, str]]:
    return ((text, "") for text in _ITEM.split(answer)[1:])


def _paragraphs(answer: str) -> Iterable[tuple[str, str]]:
    return ((text, "") for text in _PARAGRAPH.split(answer))
