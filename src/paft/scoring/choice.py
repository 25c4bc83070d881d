"""The scorer ``choice``: read which option a generated text picks.

An answer counts where a person would take it for one: alone, at the beginning of the text, or in a statement such
as "the answer is". Two different answers, a doubt, or a list of options make the text unparsed: it is counted
apart from wrong answers, and never right by accident.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from paft.scoring.text import without_thoughts
from paft.types import LETTERS, Example, Score

if TYPE_CHECKING:
    from paft.tasks.task import Task

_STATEMENT = re.compile(
    r"\b(?:answer|choice|option|label|category|class|type|department|ending|solution|letter)"
    r"(?:\s+(?:here|to this|for this))?\s*(?::|=|->|\bis\b|\bare\b|\bwould be\b|\bshould be\b)\s*:?\s*"
    r"(?=(?P<rest>[^\n]*))",
    re.IGNORECASE,
)
_DOUBT = re.compile(r"\b(?:wrong|incorrect|false|if|not|isn't|unless|whether|no)\b", re.IGNORECASE)
_DENIED = re.compile(r"[^\n.]*?\b(?:wrong|incorrect|false|not)\b", re.IGNORECASE)
_REASON = r"because|since|as|for|which|so|but|due|based"
"""Words that may follow an answer; none of them follows the English words A and I."""
_BULLET = re.compile(r"^(?:\d+[.)]|[-*\u2022])\s+")
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*([^{}]*?)\s*\}*\}")
_LETTER = (
    r"(?:(?i:option|choice|letter|answer)\s+)?(?P<mark>[(\[\"'])?(?P<letter>[A-Z])\b(?P<close>[)\]\"'.:,;!]*)"
)


class ChoiceScorer:
    """Reads which option an output picks; the value is 1 where it is the right option, else 0."""

    name = "choice"
    is_binary = True

    def __init__(self, task: "Task"):
        self.task = task

    def score(self, output: str, example: Example) -> Score:
        """Return the score of an output; its answer is None where no option could be read."""
        index = self.task.answer_format.read(output, example.options)
        if index is None:
            return Score(0.0, None)
        answer = self.task.candidates(example)[index]
        return Score(float(answer == self.task.target(example)), answer)  # two options may have the same text


def read_letter(text: str, options: tuple[str, ...]) -> int | None:
    """Return the index of the option that a generated text picks by letter, or None.

    Accepted: the letter alone (``B``, ``(b)``, ``Option B.``), a letter that leads the text as a mark
    (``B. because ...``), ``B is the answer``, a statement (``The answer is B``), or the whole text of exactly
    one option. Different letters, or a letter anywhere else, cannot be read.
    """
    text, options = _plain(without_thoughts(text)), tuple(_plain(option) or option for option in options)
    letters = LETTERS[: len(options)]
    stated = [letter for rest in _statements(text) if (letter := _stated_letter(rest, letters, options))]
    found = set(stated)
    if leading := _leading_letter(text, letters, options):
        found.add(leading)
    if not found:
        first = text.split("\n", 1)[0]
        return _only(i for i, option in enumerate(options) if _same(option, text) or _same(option, first))
    if len(found) > 1 or _lists_letters(text, letters, *found) or len(*found) > 1:
        return None
    return letters.index(found.pop())


def read_label(text: str, options: tuple[str, ...]) -> int | None:
    """Return the index of the option that a generated text names, or None.

    Accepted: the option alone on the first line or leading it before punctuation, and a statement (``The label is
    X``). A second option stated, or at the head of another line, makes it unparsed; so does an option that merely
    occurs somewhere.
    """
    text, options = _plain(without_thoughts(text)), tuple(_plain(option) or option for option in options)
    found: set[int] = set()
    for rest in _statements(text, options):
        bare = re.sub(r"^(?:an?|the)\s+", "", rest, flags=re.IGNORECASE)
        found |= _leading_options(rest, options) or _leading_options(bare, options)
    head, *others = [line for line in text.split("\n") if line.strip()] or [""]
    leading = _leading_options(head, options)
    if leading and ":" in head and not _same(head.split(":")[0], _bare_of(options, leading)):
        leading = set()
    found |= leading
    if leading:
        for line in others:
            found |= {i for i, option in enumerate(options) if _same(option, _BULLET.sub("", line.strip()))}
    return _only(found)


def _statements(text: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return what follows each statement of an answer; one that is in doubt or denied stands for nothing.

    Args:
        options: texts that are answers and no denial, such as ``no`` and ``not entailed``.
    """
    boxed = [match[1] for match in _BOXED.finditer(text)]
    rests = []
    for match in _STATEMENT.finditer(text):
        before = re.split(r"[.:\n]", text[: match.start()])[-1]
        rest = match["rest"].strip()
        denied = _DOUBT.match(rest) and not _leading_options(rest, options)
        if not denied and not _DOUBT.search(" ".join(before.split()[-3:])):
            rests.append(rest)
    return boxed + rests


def _stated_letter(rest: str, letters: str, options: tuple[str, ...]) -> str | None:
    """Return the letter that a statement goes on with; several letters where it goes on as a list."""
    match = re.match(_LETTER, rest)
    if match is None or match["letter"] not in letters:
        return None
    tail = rest[match.end() :]
    closed = bool(match["close"] or match["mark"])
    if not closed and match["letter"] in "AI" and re.match(rf"\s+(?!(?:{_REASON}|and|is)\b)[a-z]", tail):
        return None  # "the answer is A dog": the English word, not the letter
    if _denied(tail, options[letters.index(match["letter"])]):
        return letters  # "the answer B is wrong": a doubt, so nothing can be read
    return letters if _goes_on(match["close"] + tail, letters, closed) else match["letter"]


def _leading_letter(text: str, letters: str, options: tuple[str, ...]) -> str | None:
    """Return the letter that the text begins with as an answer, several where it begins with a list of them."""
    first = text.split("\n", 1)[0].strip()
    alone = re.fullmatch(rf"(?:option|choice|letter)?\s*{_LETTER}", first, re.IGNORECASE)
    if alone and alone["letter"].upper() in letters:
        return alone["letter"].upper()
    match = re.match(_LETTER, first)
    if match is None or match["letter"] not in letters:
        return None
    tail = first[match.end() :]
    marked = re.search(r"[)\].:]", match["close"]) is not None
    other = re.fullmatch(r"\s*[(\[]?([A-Z])[)\].]*\s*", tail) if marked else None
    if _goes_on(match["close"] + tail, letters, marked) or (other and other[1] in letters):
        return letters  # "A or B", "A: B"
    if re.match(r"\s+is\s+(?:the\s+)?(?:correct|right|best|answer)", tail):
        return match["letter"]
    return match["letter"] if marked and not _denied(tail, options[letters.index(match["letter"])]) else None


def _denied(tail: str, own: str = "") -> bool:
    """Return True if what follows an answer takes it back; neither the option's own text nor a reason does."""
    tail = re.sub(rf"^[\s).:\]\"'-]*{re.escape(own)}", "", tail, flags=re.IGNORECASE) if own else tail
    return _DENIED.match(re.split(r"\b(?:because|since)\b", tail, maxsplit=1, flags=re.IGNORECASE)[0]) is not None


def _goes_on(tail: str, letters: str, marked: bool) -> bool:
    """Return True if a list of letters continues: ``or B``, ``/ B``, ``, B``, or ``B) ...`` after a mark."""
    following = re.match(r"\s*[)\].:;,\"']*\s*(?:or\b|and\b|nor\b|as well as\b|/|&)\s*[(\[\"']?([A-Z])?", tail)
    if following and (following[1] is None or following[1] in letters):
        return not (marked and following[1] is None)
    comma = re.match(r"\s*,\s*[(\[\"']?([A-Z])\b", tail)
    return comma is not None and comma[1] in letters


def _lists_letters(text: str, letters: str, chosen: str = "") -> bool:
    """Return True if the text lists options again: another letter as a mark, ``B. ...`` or ``(B) ...``."""
    marks = re.findall(r"(?:^|[\s(\[])([A-Z])[)\].:](?=\s|$)", text)
    return any(mark in letters and mark != chosen for mark in marks)


def _leading_options(text: str, options: tuple[str, ...]) -> set[int]:
    """Return the option that the text starts with, up to punctuation or its end; the longest one wins."""
    text = _BULLET.sub("", text.strip()).lstrip("\"'([*")
    hits = {
        i: len(option)
        for i, option in enumerate(options)
        if re.match(
            rf"{re.escape(option.strip())}(?![.,]\d)(?=\s*(?:$|[\"')\].,;:!*]|\s[-\u2013\u2014](?!\s*\d)|\()|\s+(?:because|since)\b)",
            text,
            re.IGNORECASE,
        )
    }
    longest = max(hits.values(), default=0)
    chosen = {i for i, length in hits.items() if length == longest}
    tail = text[longest:]
    denied = _denied(tail) and not any(_DOUBT.search(options[i]) for i in chosen)  # "No, it does not."
    if chosen and (denied or _names_another(tail, options, chosen)):
        return set(range(len(options)))
    return chosen


def _names_another(tail: str, options: tuple[str, ...], chosen: set[int]) -> bool:
    """Return True if the text continues as a list of options: ``location, human``, ``location or a human``."""
    following = re.match(
        r"\s*(?:[,/&]|or\b|and\b|as well as\b)\s*(?:or\b|and\b)?\s*(?:an?\s+|the\s+)?(?P<next>.*)", tail, re.I
    )
    if following is None:
        return False
    others = (option for i, option in enumerate(options) if i not in chosen)
    return any(re.match(rf"{re.escape(option)}(?!\w)", following["next"], re.IGNORECASE) for option in others)


def _bare_of(options: tuple[str, ...], indices: set[int]) -> str:
    return options[next(iter(indices))] if len(indices) == 1 else ""


def _only(indices: Iterable[int]) -> int | None:
    found = set(indices)
    return found.pop() if len(found) == 1 else None


def _plain(text: str) -> str:
    """Return a text, or an option, in one Unicode form and without the marks of Markdown."""
    return unicodedata.normalize("NFKC", text).replace("**", "").replace("`", "").strip().strip("\"'*").strip()


def _same(option: str, text: str) -> bool:
    return _bare(option) == _bare(text) != ""


def _bare(text: str) -> str:
    """Return the text without case, outer punctuation and odd spacing; signs within it stay (C++, -5, 1/2)."""
    return re.sub(r"\s+", " ", text.casefold()).strip().strip("\"'()[]!?:;,").rstrip(".").strip()
