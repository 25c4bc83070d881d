"""The scorer ``choice``: read which option a generated text picks.

An answer counts where a person would take it for one. In order: the text is one option and nothing else; it states
one ("the answer is", a tag, a box, JSON); it begins with one. Two different answers, a doubt, a correction, or a
list of options make the text unparsed: it is counted apart from wrong answers, and never right by accident.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from paft.scoring import patterns, words
from paft.scoring.fold import lowered, plain
from paft.scoring.objections import contradicts, listed
from paft.scoring.options import OptionTable, option_table
from paft.scoring.reading import Reading
from paft.scoring.statements import Claim, claims, head
from paft.scoring.text import without_control_tokens, without_run_on, without_thoughts
from paft.types import LETTERS, Example, Score

if TYPE_CHECKING:
    from paft.tasks.task import Task

_READ = 5_000
"""Characters of a text's beginning, and of its end, that are read."""

_TAG = re.compile(
    rf"<(?:final_?)?(?:answer|{words.NAMING})>(.{{0,2000}}?)(?:</(?:final_?)?(?:answer|{words.NAMING})>|$)",
    re.IGNORECASE | re.DOTALL,
)
_BOXED = re.compile(r"\\boxed\s?\{((?:[^{}]|\{[^{}]{0,200}\}){0,300})\}")
_JSON_PAIR = re.compile(
    r'"([^"\\\n]{1,60})"\s?:\s?(?:"((?:[^"\\\n]|\\.){0,300})"|(-?\d[\d.]{0,20}|true|false))', re.IGNORECASE
)
_BOLD = re.compile(r"(?<=[^\s*] )\*\*([^*\n]{1,80})\*\*(?! ?:)")
_LABELLED = re.compile(r"[#*>\s]{0,6}(?P<label>[^\W\d_][^:\n]{0,40}?)\*{0,2}\s?[:\uff1a]\*{0,2}(?P<rest>[^\n]*)")
_ANSWER_LABEL = re.compile(
    rf"(?:\W|(?:{words.CORRECT}|final|my|the|correction|revised|updated|overall|actually) )*"
    rf"(?:{words.ANSWER}|{words.NAMING}|{words.CORRECT}|{words.EXPLANATION}|{words.ANSWER_UNSPACED}|{words.NAMING_UNSPACED}"
    r"|correction|revision|update)\W*",
    re.IGNORECASE,
)


_DENYING = re.compile(rf"(?<![^\W_])(?:{words.DENIAL}|{words.RULED_OUT})(?![^\W_])")
"""A JSON key of what is not the answer."""
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")


class ChoiceScorer:
    """Reads which option an output picks; the value is 1 where it is the right option, else 0."""

    name = "choice"
    is_binary = True

    def __init__(self, task: "Task"):
        self.task = task

    def score(self, output: str, example: Example) -> Score:
        """Return the score of an output; its answer is None where no option could be read."""
        index = self.task.answer_format.read(output, example.options, self.task.answer_names)
        if index is None:
            return Score(0.0, None)
        answer = self.task.candidates(example)[index]
        return Score(float(answer == self.task.target(example)), answer)  # two options may have the same text


def read_letter(text: str, options: Sequence[str], *, names: Sequence[str] = ()) -> int | None:
    """Return the index of the option that a generated text picks, by its letter or by its text, or None.

    Args:
        names: what the task calls its answer, such as the name of the target column: "the NAME is B".
    """
    return _read(text, option_table(tuple(options), True), tuple(names))


def read_label(text: str, options: Sequence[str], *, names: Sequence[str] = ()) -> int | None:
    """Return the index of the option that a generated text names, or None.

    A prompt may have shown the options with letters, so a letter counts as a part of the option that it stands
    before: ``B) green`` where green is the second one.

    Args:
        names: what the task calls its answer, such as the name of the target column: "the NAME is positive".
    """
    options = tuple(options)
    marks = _own_letters(options)
    return _read(marks.sub("", text) if marks else text, option_table(options, False), tuple(names))


@lru_cache(256)
def _own_letters(options: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds the letter of each option before its text; None where an option looks like a letter."""
    if len(options) > len(LETTERS) or any(len(option.strip("()[]. ")) < 2 for option in options):
        return None
    shown = (
        rf"{letter}[)\].:][ \t]{{0,2}}(?=(?i:{re.escape(option.strip())})(?![^\W_]))"
        for letter, option in zip(LETTERS, options, strict=False)
    )
    return re.compile(rf"(?<![^\W_])[(\[]?(?:{'|'.join(shown)})")


def indistinguishable(options: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the first two options that no output can tell apart: equal up to Unicode form, spacing and markup.

    Options that differ in case or punctuation only (``US`` and ``us``) are told apart by an output that is written
    exactly as one of them; any other spelling stays unread.
    """
    seen: dict[str, str] = {}
    for option in options:
        form = plain(option, quotes=False) or option
        if form in seen:
            return seen[form], option
        seen[form] = option
    return None


def _read(text: str, table: OptionTable, names: tuple[str, ...]) -> int | None:
    if (index := table.exact.get(text)) is not None:
        return index
    whole = without_control_tokens(without_thoughts(text))
    if "~~" in whole:
        whole = _STRUCK.sub(" ", whole)
    if (index := table.alone(whole)) is not None:
        return index
    if len(whole) > 2 * _READ:
        whole = f"{whole[:_READ]}\n{whole[-_READ:]}"
    own = tuple(name for name in _own_names(names) if name not in table.forms)
    answer = _first_turn(without_run_on(whole, answers=table.forms), table, own)
    if len(answer) != len(whole) and (index := table.alone(answer)) is not None:
        return index
    marked, rest = _marked(answer, table, own)
    reading = _reading(rest, table, own)
    if marked:
        return _agreed(marked, reading)
    index = _stated(reading)
    return index if index is not None or "**" not in answer else _in_bold(answer, table, reading)


@lru_cache(maxsize=512)
def _own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in lower case; a name of one or two letters is also a word (Spanish ``y``) and left out."""
    own = (lowered(plain(name)) for name in names)
    return tuple(name for name in own if len(name) > 2 or not name.isascii())


def _reading(text: str, table: OptionTable, names: tuple[str, ...]) -> Reading:
    shown = table.plain(text)
    return Reading(shown, lowered(shown), table, names)


def _first_turn(text: str, table: OptionTable, names: tuple[str, ...]) -> str:
    """Return the text up to where a next question begins, once a whole line was an answer.

    A next question is a line ``WORD: ...`` that neither gives an answer nor explains one.
    """
    lines = text.split("\n")
    if len(lines) == 1:
        return text
    answered, own_label = False, ""
    for number, line in enumerate(lines):
        if answered:
            match = _LABELLED.match(line)
            label = lowered(plain(match["label"])) if match else own_label
            if match and label != own_label and _begins_question(label, match["rest"], table, names):
                return "\n".join(lines[:number])
        elif line.strip():
            before, colon, after = line.partition(":")
            answered = table.alone(line) is not None
            if not answered and colon and table.alone(after) is not None and table.alone(before) is None:
                answered, own_label = True, lowered(plain(before))
    return text


def _begins_question(label: str, rest: str, table: OptionTable, names: tuple[str, ...]) -> bool:
    if _ANSWER_LABEL.fullmatch(label) or label in names or table.alone(label) is not None:
        return False
    if patterns.SECOND_THOUGHT.search(label) or label.startswith(("wait", "actually", "hmm", "however")):
        return False
    return not rest.strip() or table.alone(rest) is None


def _marked(text: str, table: OptionTable, names: tuple[str, ...]) -> tuple[list[int | None], str]:
    """Return the options in tags, boxes and JSON, None for what cannot be read, and the text without these."""
    found: list[int | None] = []

    def inner(match: re.Match[str]) -> str:
        content = match[1].strip()
        if patterns.DENIED_AFTER.match(text[match.end() : match.end() + 80].lower()):
            found.append(None)
            return " "
        index = table.alone(content)
        found.append(index if index is not None else _stated(_reading(content, table, names)))
        return " "

    if "<" in text:
        text = _TAG.sub(inner, text)
    if "\\boxed" in text:
        text = _BOXED.sub(inner, text)
    if "{" in text and (pairs := _pairs(text)):
        values = _values(pairs, table, names)
        if values is not None:
            found.append(values if values >= 0 else None)
            text = re.sub(r"\{[^{}]*\}?", " ", text)
    return found, text


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return the keys and the values of JSON objects, complete or cut off."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        parsed = json.loads(text[begin : end + 1], object_pairs_hook=_Object) if end > begin else None
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, _Object):
        return _flat("", parsed, 0)
    return [(match[1], match[2] if match[2] is not None else match[3]) for match in _JSON_PAIR.finditer(text)]


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, also where a key occurs twice."""


def _flat(key: str, value: Any, depth: int) -> list[tuple[str, str]]:
    """Return the keys and the values of a JSON object and of those in it."""
    if depth > 20:
        return []
    if isinstance(value, _Object):
        return [pair for name, inner in value for pair in _flat(str(name), inner, depth + 1)]
    if isinstance(value, list):
        return [pair for inner in value for pair in _flat(key, inner, depth + 1)]
    return [(key, value if isinstance(value, str) else json.dumps(value))]


def _values(pairs: list[tuple[str, str]], table: OptionTable, names: tuple[str, ...]) -> int | None:
    """Return the option that JSON gives, -1 where it gives several or another answer, None where it gives none."""
    if sum(table.alone(key) is not None for key, _ in pairs) > 1:
        return -1
    named = [
        value
        for key, value in pairs
        if _ANSWER_LABEL.fullmatch(low := lowered(plain(key))) or low in names
        if not re.search(words.EXPLANATION, low)
    ]
    others = [
        value for key, value in pairs if table.alone(key) is None and not _DENYING.search(lowered(plain(key)))
    ]
    for values in (named, others):
        read = [_value(value, table, names) for value in values]
        if options := {index for index in read if index is not None}:
            return options.pop() if len(options) == 1 else -1
        if values is named and named:
            return -1
    return -1 if any(table.alone(key) is not None for key, _ in pairs) else None


def _value(value: str, table: OptionTable, names: tuple[str, ...]) -> int | None:
    if (index := table.alone(value)) is not None:
        return index
    if len(value) > 200:
        return None
    first = head(_reading(value, table, names))
    return first.index if first and first.state == "ok" else None


def _agreed(marked: list[int | None], reading: Reading) -> int | None:
    """Return the option of all marks; None if they differ, or if the text around states another answer."""
    if len(set(marked)) != 1 or (index := marked[0]) is None:
        return None
    others = {claim.index for claim in claims(reading) if claim.is_strong and claim.state == "ok"}
    return index if others <= {index} else None


def _stated(reading: Reading) -> int | None:
    """Return the option that a text states as its answer, or begins with."""
    if not reading.mentions:
        return None
    stated, first = claims(reading), head(reading)
    if any(claim.is_strong for claim in stated):
        return _strong(stated, first, reading)
    return _weak(stated, first, reading)


def _strong(stated: list[Claim], first: Claim | None, reading: Reading) -> int | None:
    """Return the option of explicit statements: all must agree, and nothing after the last may differ.

    Args:
        first: the claim that the text begins with.
    """
    strong = [claim for claim in stated if claim.is_strong]
    clear = {claim.index for claim in strong if claim.state == "ok"}
    if len(clear) != 1 or any(claim.state in ("or", "value") or claim.index not in clear for claim in strong):
        return None
    last = [claim for claim in strong if claim.state == "ok"][-1]
    if any(claim.index not in clear and claim.mention.start > last.mention.start for claim in stated):
        return None
    if (
        first
        and first.mention.start < strong[0].mention.start
        and (first.index, first.state) != (last.index, "ok")
    ):
        is_list = len(listed(reading)) > 1 and first.state != "question"
        if not is_list and (first.index != last.index or first.state == "question"):
            return None
    return None if contradicts(reading, last) else last.index


def _weak(stated: list[Claim], first: Claim | None, reading: Reading) -> int | None:
    """Return the option of "WORD: option", "It is OPTION" or the head, where no other is named as an answer."""
    weak = [first] if first else []
    weak += [
        claim for claim in stated if claim.state != "doubt" and not (first and claim.mention == first.mention)
    ]
    if not weak or any(claim.state != "ok" for claim in weak):
        return None
    answer = weak[0]
    is_bare_line = answer is first and reading.fills_line(answer.mention)  # and then a word on each option
    entries = listed(reading, blocking=is_bare_line)
    if any(index != answer.index for index in entries | {claim.index for claim in [*weak, *stated]}):
        return None
    if answer is not first and _names_another_before(answer, reading):
        return None
    return None if contradicts(reading, answer) else answer.index


def _names_another_before(answer: Claim, reading: Reading) -> bool:
    return any(
        other.index != answer.index
        and other.kind != "small"
        and not reading.is_denied(other)
        and not patterns.IN_BRACKETS.match(reading.low, other.end)  # "Label (A or B): B"
        for other in reading.mentions
        if other.start < answer.mention.start
    )


def _in_bold(text: str, table: OptionTable, reading: Reading) -> int | None:
    """Return the only option that is set in bold within a sentence, where the text states none otherwise."""
    found = {index for match in _BOLD.finditer(text) if (index := table.alone(match[1])) is not None}
    if len(found) != 1 or claims(reading) or head(reading) or len(listed(reading)) > 1:
        return None
    index = found.pop()
    own = [mention for mention in reading.mentions if mention.index == index]
    if any(reading.state(mention) not in ("ok", "open") or reading.is_denied(mention) for mention in own):
        return None
    doubted = any(contradicts(reading, Claim(mention, "ok", is_strong=False)) for mention in own)
    return None if doubted else index
