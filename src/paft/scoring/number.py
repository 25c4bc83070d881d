"""A number in an output, compared by its value."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from paft.errors import UserError
from paft.scoring.number_digits import written
from paft.scoring.number_statements import stated
from paft.scoring.number_text import Number, last, numbers, plain
from paft.scoring.number_words import in_words
from paft.scoring.text_scorer import ASK, ParsedAnswer, TextScorer, unusable
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_UNITS = re.compile(r"[*$\\\]}]*[^\S\n]*(?:[^\W\d_]+[^\S\n]*){0,2}[.!*)\]}$]*\s*")
_MARK = re.compile(r"^[^\S\n]*(\d{1,2})[.)](?=\s)", re.MULTILINE)
_LABEL = re.compile(r"\b(?:step|question|problem|example|exercise)[^\S\n]*#?$", re.IGNORECASE)
_REMARK = re.compile(
    r"(?<=[\w%$*\u20ac\u00b0\u00b2\u00b3])[^\S\n]\((?=[^()\n]*(?:[^\W\d_]{2}|%|=))[^()\n]*\)[\s.*]*$"
)
"""Words in brackets at the end of a text; a calculation in brackets is none."""
_LEADING_MINUS = re.compile(r"^\s*[-\u2212\u2013]\s+(?=\D?\d)")
"""The sign of an accepted answer that a bank wrote apart: ``- 12,50``. In an output it may mark a list."""
_IN_BRACKETS = re.compile(r"\s*\([^\w\s()]?\s*[\d.,]+\)\s*")
_CONTEXT = 200
"""Characters of a first line that are read."""


class NumberScorer(TextScorer):
    """Right if the number in an output has the value of an accepted answer; units and currencies are ignored.

    25 % equals 25 and 0.25 alike. A range, a list, a date, a calculation without a result, or a factor of a root
    or of pi is no number.

    Args:
        form: ``auto`` takes the last explicit statement (``#### 18``, ``\\boxed{18}``, ``the answer is 18``), else
            a first line that is just a number, else the last number. ``flexible`` takes the last number and
            ``strict`` only ``#### 18``, the two forms of GSM8K in lm-evaluation-harness.
        tolerance: how far off the number may be, as a share of the accepted one.
    """

    name = "number"
    wanted = "a number"
    forbidden_requests: ClassVar = {
        "a range": rf"{ASK}[^.\n]{{0,30}}\b(?:as|with|by) (?:an? )?(?:range|interval)\b",
        "Roman numerals": r"\bRoman numerals?\b",
    }

    def __init__(self, task: "Task", form: str = "auto", tolerance: float = 0.0):
        super().__init__(task)
        self.form = choice("task.scorer.form", form, ("auto", "flexible", "strict"))
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
            raise UserError(
                f"config key task.scorer.tolerance takes a share from 0 to below 1; found {tolerance!r}"
            )
        self.tolerance = tolerance
        if form != "auto":
            self.name = f"number ({form})"

    @classmethod
    def wanted_with(cls, settings: Mapping[str, Any]) -> str:
        """Return what must be written; the form ``strict`` reads nothing else."""
        return (
            "a last line with four hash signs and the number: #### 18"
            if settings.get("form") == "strict"
            else cls.wanted
        )

    def read(self, text: str) -> ParsedAnswer:
        """Return the number in one form, such as ``1200``, ``0.5`` or ``25%``."""
        return _reading(find(text, self.form))

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where both have the same value, else 0."""
        wanted, number = _number_of(target), _number_of(answer)
        if wanted is None or wanted.value is None:
            raise unusable(target, "number", "no number")
        if number is None or number.value is None:
            return 0.0
        values = [number.value]
        if number.is_percent != wanted.is_percent:
            values.append(number.value / 100 if number.is_percent else number.value * 100)
        if not self.tolerance:
            return float(wanted.value in values)
        return float(any(abs(value - wanted.value) <= abs(wanted.value) * self.tolerance for value in values))

    def check_target(self, target: str) -> str | None:
        """Refuse a target without a number, with several and no sign of which is the answer, or in brackets."""
        text = plain(_LEADING_MINUS.sub("-", target))
        if _IN_BRACKETS.fullmatch(text):
            return "is in brackets, which accountants write for a minus; write the sign, or leave the brackets out"
        number = stated(text)
        if number is not None and number.value is not None:
            return None
        found = list(numbers(text))
        if not found:
            return None if in_words(text) is not None else "holds no number"
        if len(found) > 1:
            return f"holds {len(found)} numbers; keep the one that is the answer"
        return None if found[0].value is not None else f"holds no single number: {found[0].note}"


def find(text: str, form: str) -> Number | None:
    """Return the number that is the answer of a text; None where there is none.

    Args:
        form: as in :class:`NumberScorer`.
    """
    text = plain(text)
    if form == "strict":
        match = _STRICT.search(text)
        return last(match[1], list(numbers(match[1]))) if match else None
    if form == "auto":
        number = stated(text) or _head(text)
        if number is not None:
            return number
        text = _without_remark(text)
    return last(text, _answers(text, form))


def _head(text: str) -> Number | None:
    """Return the number that alone, with a unit at most, is the first line."""
    head, _, rest = text.partition("\n")
    if len(head) > _CONTEXT or not rest.strip():
        return None
    head = _without_remark(head)
    found = list(numbers(head))
    if len(found) != 1 or head[: found[0].start].strip(" *$\\(["):
        return None
    return found[0] if _UNITS.fullmatch(head[found[0].end :]) else None


def _without_remark(text: str) -> str:
    """Return a text without the remark in brackets that ends it, as in ``5 km (3.1 miles)``.

    The remark stays where no number stands before it on its line: ``twelve (12)``.
    """
    remark = _REMARK.search(text, max(len(text) - _CONTEXT, 0)) if text.rstrip(".* \n")[-1:] == ")" else None
    if remark is None:
        return text
    line = text[text.rfind("\n", 0, remark.start()) + 1 : remark.start()]
    return text[: remark.start()] if next(numbers(line), None) else text


def _answers(text: str, form: str) -> list[Number]:
    """Return the last numbers of a text, or the one in words where it has none.

    Marks of a list (1., 2., ...), numbers of steps and citations ([1]) are left out.
    """
    found = _tail(text)
    if not found:
        value = in_words(text) if len(text) < _CONTEXT else None
        return [] if value is None else [Number.of(value, "read from words")]
    if form == "flexible":
        return found
    marks = [match for match in _MARK.finditer(text) if len(match[1]) < 3]
    is_list = len(marks) > 1 and [int(match[1]) for match in marks[:2]] == [1, 2]
    starts = {match.start(1) for match in marks} if is_list else set()
    kept = [
        number
        for number in found
        if number.start not in starts and not _LABEL.search(text[max(number.start - 12, 0) : number.start])
    ]
    uncited = [number for number in kept if f"{text[number.start - 1 :][:1]}{text[number.end :][:1]}" != "[]"]
    return uncited or kept


def _tail(text: str) -> list[Number]:
    """Return the numbers at the end of a text; a long one is searched from the end."""
    for length in (2_000, 50_000):
        start = len(text) - length
        if start <= 0:
            break
        start = text.find(" ", start)
        found = [] if start < 0 else list(numbers(text[start:]))
        if len(found) > 1:
            return [number.moved(start) for number in found]
    return list(numbers(text))


def _reading(number: Number | None) -> ParsedAnswer:
    if number is None:
        return ParsedAnswer(None, "no number")
    if number.value is None:
        return ParsedAnswer(None, number.note)
    return ParsedAnswer(written(number.value, number.is_percent), number.note)


@lru_cache(100_000)
def _number_of(text: str) -> Number | None:
    """Return the number of an accepted answer, or of an answer in the form of :func:`written`."""
    return find(_LEADING_MINUS.sub("-", text), "auto")
