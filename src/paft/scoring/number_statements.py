"""Statements of a number in a text: ``#### 18``, ``\\boxed{18}``, ``the answer is 18``."""

import re

from paft.scoring import patterns
from paft.scoring.number_text import Number, numbers, result
from paft.scoring.number_words import in_words

MOST_STATEMENTS = 50
"""Statements of one output that are looked at, from its end."""
_CONTEXT = 200
"""Characters of a statement that are read."""
_STATEMENT = re.compile(
    r"####[^\S\n]*|\\f?boxed\s*\{|"
    r"(?<!as a )\b(?:answer|(?P<weak>result|solution))\b(?:, (?:then|therefore|thus),)?[^.,\n\d:=]{0,60}?"
    r"(?:\b(?:is|are|equals|would be|should be)\b(?!\s+to\b)|=|:)(?:[\s:*]|\$(?!\d))*",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[^\n]*?(?=[.!?;](?:\s|$)|\n|$)")
_DOUBT = re.compile(r"\b(?:if|whether|wrong|incorrect|previous|not)\b[^.\n]*$", re.IGNORECASE)
_DENIED = re.compile(r"\W*(?:not|wrong|incorrect)\b", re.IGNORECASE)
_DIRECT = re.compile(
    r"(?:[\s:*$\\({\[~\u2248=\"'-]|\b(?:about|approximately|approx|around|roughly|nearly|exactly|precisely|only|just"
    r"|simply|indeed|therefore|thus|still|now|equal to|a total of|the|number|text|boxed)\b\.?|\b[a-z]\s*=)*",
    re.IGNORECASE,
)
"""What may stand between a statement and its number where others follow."""
_BOLD = re.compile(r"\*\*[^*\n]{1,60}\*\*")
_REMARK = re.compile(r"(?<=\s)\([^()\n]*\)")
_GOES_ON = re.compile(
    r"\b(?:so|therefore|thus|hence|in total|altogether|in all|finally)\b[^\n]{0,120}?\d", re.IGNORECASE
)
"""A conclusion after what was only called a result."""


def stated(text: str) -> Number | None:
    """Return the number of the last statement that has one; None where the text states none.

    A statement that is taken back has no value, and neither has one with several numbers of which none is said to
    be the answer, unless another number follows it: that is then not stated.
    """
    for match in reversed(list(_STATEMENT.finditer(text))[-MOST_STATEMENTS:]):
        before = text[max(match.start() - 40, 0) : match.start()]
        clause = _rest(text, match)
        following = text[match.end() + len(clause) :]
        is_mark = match[0][0] in "#\\"
        if following[:1] == "?" or _DENIED.match(clause) or (not is_mark and _DOUBT.search(before)):
            continue
        number = _number_of(clause)
        if number is None:
            continue
        if patterns.SECOND_THOUGHT.search(following[:_CONTEXT].lower()):
            return Number.of(None, "an answer that is taken back")
        if match["weak"] and _GOES_ON.search(following[:_CONTEXT]):
            return None
        is_open = number.value is None and not is_mark
        return None if is_open and next(numbers(following), None) else number
    return None


def _rest(text: str, match: re.Match[str]) -> str:
    """Return what a statement says: the braces' content of a box, else the clause."""
    rest = text[match.end() : match.end() + _CONTEXT]
    if "boxed" not in match[0]:
        clause = _CLAUSE.match(rest)
        return clause[0] if clause else rest
    depth = 1
    for position, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if not depth:
            return rest[:position]
    return rest


def _number_of(clause: str) -> Number | None:
    """Return the number that a clause gives as the answer; without a value where it may be any of several."""
    found = list(numbers(clause))
    number = result(clause, found)
    if number is None:
        value = in_words(clause)
        return None if value is None else Number.of(value, "read from words")
    first = found[0]
    is_mark = clause[: first.start].endswith("(") and clause[first.end :].startswith(")")
    if number.value is None or number is found[-1] or (_DIRECT.fullmatch(clause, 0, first.start) and not is_mark):
        return number
    in_bold = _within(_BOLD, clause, found)
    remarks = _within(_REMARK, clause, found)
    for likely in (in_bold, [each for each in found if each not in remarks]):
        if len(likely) == 1 and not is_mark:
            return likely[0]
    return Number.of(None, "several numbers, none of which is said to be the answer")


def _within(pattern: re.Pattern[str], text: str, found: list[Number]) -> list[Number]:
    """Return the numbers that stand within a match of a pattern."""
    spans = [match.span() for match in pattern.finditer(text)]
    return [number for number in found if any(start < number.start < end for start, end in spans)]
