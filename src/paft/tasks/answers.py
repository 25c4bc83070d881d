"""Read the answer out of generated text. What cannot be read is unparsed, never right by accident."""

import re
import unicodedata

from paft.tasks.task import LETTERS

_STATED = re.compile(
    r"\b(?:answer|choice|option|label|category|class|type|department|ending|solution)"
    r"(?:\s+(?:here|to this|for this))?\s*(?:is|are|:|=|->|would be|should be)\s*:?\s*(?P<rest>[^\n]+)",
    re.IGNORECASE,
)
_LETTER_ALONE = re.compile(r"[(\[]?(?P<letter>[A-Z])[)\].:,;!]*")
_LETTER_LEADS = re.compile(r"(?:[(\[](?P<inside>[A-Z])[)\]]|(?P<letter>[A-Z])[).:])(?:\s|$)")
_STATED_LETTER = re.compile(r"(?:option|choice|letter)?\s*[(\[]?(?P<letter>[A-Z])[)\]]?(?=$|[\s.,;:!])")
_GOES_ON = re.compile(r"\s*[)\].,:;]*\s*(?:or\b|and\b|nor\b|/|&|,?\s*[(\[]?(?P<next>[A-Z])\b)")


def read_letter(text: str, options: tuple[str, ...]) -> int | None:
    """Return the index of the option that a generated text picks by letter, or None.

    Accepted: the letter alone (``B``, ``(B)``, ``B.``), a letter that leads its line (``B. because ...``), a
    statement (``The answer is B``), or the whole text of exactly one option. Two different letters stated, a
    letter anywhere else, or none at all, cannot be read.
    """
    text = _plain(text)
    letters = LETTERS[: len(options)]
    first = text.split("\n", 1)[0].strip()
    for line in (text, first):
        if (match := _LETTER_ALONE.fullmatch(line)) and match["letter"] in letters:
            return letters.index(match["letter"])
    stated = _stated_letters(text, letters)
    if stated:
        return letters.index(stated.pop()) if len(stated) == 1 else None
    if (match := _LETTER_LEADS.match(first)) and not _goes_on(first[match.end() :], letters):
        letter = match["inside"] or match["letter"]
        return letters.index(letter) if letter in letters else None
    return _only(i for i, option in enumerate(options) if _same(option, text) or _same(option, first))


def read_label(text: str, options: tuple[str, ...]) -> int | None:
    """Return the index of the option that a generated text names, or None.

    Accepted: the option alone, the option leading its first line before punctuation, or a statement (``The
    label is X``). An option that merely occurs somewhere cannot be read.
    """
    text = _plain(text)
    first = text.split("\n", 1)[0].strip()
    exact = [i for i, o in enumerate(options) if _same(o, text) or _same(o, first)]
    if exact:
        return _only(exact)
    stated = {i for match in _STATED.finditer(text) for i in _leading(match["rest"], options)}
    if stated:
        return _only(stated)
    return _only(_leading(first, options))


def _stated_letters(text: str, letters: str) -> set[str]:
    found: set[str] = set()
    for match in _STATED.finditer(text):
        rest = match["rest"].strip()
        if (letter := _STATED_LETTER.match(rest)) and letter["letter"] in letters:
            tail = rest[letter.end() :]
            if letter["letter"] in "AI" and re.match(r"\s+[a-z]", tail):
                continue  # "the answer is A dog": the English word, not the letter
            if _goes_on(tail, letters):
                return set(letters)
            found.add(letter["letter"])
    return found


def _goes_on(tail: str, letters: str) -> bool:
    """Say whether a list of letters goes on: ``or B``, ``/ B``, ``, B``."""
    match = _GOES_ON.match(tail)
    return match is not None and (match["next"] is None or match["next"] in letters)


def _leading(text: str, options: tuple[str, ...]) -> set[int]:
    """Return the options that the text starts with, up to punctuation or its end; the longest one wins."""
    text = text.strip().lstrip("\"'([*")
    hits = {
        i: len(option)
        for i, option in enumerate(options)
        if re.match(
            rf"{re.escape(option.strip())}(?=\s*(?:$|[\"')\].,;:!*]|\s[-\u2013\u2014]|\())",
            text,
            re.IGNORECASE,
        )
    }
    longest = max(hits.values(), default=0)
    chosen = {i for i, length in hits.items() if length == longest}
    if any(_names_another(text[longest:], options, i) for i in chosen):
        return set(range(len(options)))
    return chosen


def _names_another(tail: str, options: tuple[str, ...], chosen: int) -> bool:
    """Say whether the text goes on as a list of options: ``location, human``, ``location or human``."""
    following = re.match(r"\s*(?:[,/&]|or\b|and\b)\s*(?:or\b|and\b)?\s*(?P<next>.*)", tail, re.IGNORECASE)
    if following is None:
        return False
    rest = following["next"].lower()
    return any(i != chosen and rest.startswith(option.lower()) for i, option in enumerate(options))


def _only(indices: object) -> int | None:
    found = set(indices)  # type: ignore[call-overload]
    return found.pop() if len(found) == 1 else None


def _plain(text: str) -> str:
    """Drop the marks of Markdown and odd spaces that do not belong to an answer."""
    return unicodedata.normalize("NFKC", text).replace("**", "").replace("`", "").strip().strip("\"'*").strip()


def _same(option: str, text: str) -> bool:
    return _bare(option) == _bare(text) != ""


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
