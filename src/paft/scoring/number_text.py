"""Numbers as people and models write them: separators, currencies, percent, fractions, powers of ten."""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property

from paft.scoring.number_digits import DIGITS, read_digits, written

MOST_DIGITS = 400
"""Longer numbers, and larger exponents, are no answer."""

_BLANK = r"[^\S\n]"
_LETTER = r"A-Za-z_\u00c0-\u024f"
"""Letters that make the digits after them part of a word, as in H2O; Chinese and others put no space there."""
_APART = rf"""
    (?<![{_LETTER}\d]) (?<![{_LETTER}]-) (?<!\d[.,'/])
    (?<![{_LETTER}}}]\^) (?<![{_LETTER}}}]\^\{{) (?<![{_LETTER}}}]\^-) (?<![{_LETTER}}}]\^\{{-)
"""
"""What follows is no rest of a word or number (H2O, COVID-19, 5'10) and no power of a unit (m^2, s^{-2})."""
_SIGN = r"(?P<sign>(?<![\w)\]}%])[-+\u2212])?"
_CURRENCY = rf"""
    (?:(?P<currency>(?:(?:US)?\\?[$\u20ac\u00a3\u00a5\u20b9]|USD|EUR|GBP|Rs\.?){_BLANK}?)
       (?P<inner_sign>[-\u2212](?=[\d.]))?)?
"""
_LATEX = r"(?P<whole>\d+[ ]?)?\\[dt]?frac\{(?P<above>\d+)\}\{(?P<below>\d+)\}"
_POWER_OF_TEN = rf"""
    (?:e(?P<exponent>[+-]?\d{{1,4}})(?!\w)
      |{_BLANK}?(?:\u00d7|\u00b7|x|\*|\\times|\\cdot){_BLANK}?10{_BLANK}?\^{_BLANK}?\{{?(?P<power>[-+\u2212]?\d{{1,4}})\}}?)?
"""
_RAISED = r"(?P<raised>[\u00b2\u00b3\u00b9\u2070-\u2079])?"
_PERCENT = rf"(?P<percent>{_BLANK}?(?:\\?%|\uff05|(?:percent|per[ ]cent|pct)\b))?"
_SCALE = rf"""
    (?:{_BLANK}?(?P<scale>hundred|thousand|million|billion|trillion|(?<=\d)k|(?<=\d)(?:bn|m|b))\b(?!\$))?
"""
_NUMBER = re.compile(
    rf"""{_APART} {_SIGN} {_CURRENCY}
    (?:(?P<hexadecimal>0x[\da-f]+\b)|{_LATEX}|(?P<digits>{DIGITS}))
    {_POWER_OF_TEN} {_RAISED} {_PERCENT} {_SCALE}""",
    re.VERBOSE | re.IGNORECASE,
)
_POWERS = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "k": 3, "m": 6, "b": 9, "bn": 9,
}  # fmt: skip
_JOINED = re.compile(
    rf"{_BLANK}*(?:[-\u2013\u2014~+*/\u00d7\u00f7^\u2212\u00b1]|\+{_BLANK}?/{_BLANK}?-|x|to|or|plus|minus|times"
    rf"|out of|\\times|\\cdot|\\div|\\pm){_BLANK}*|:|\*\*"
)
_LISTED = re.compile(rf"{_BLANK}*(?:[,;]|,?{_BLANK}and\b){_BLANK}*(?:(?:and|or)\b{_BLANK}*)?")
_CLOSED = re.compile(r"[\s.)\]}$*\\]*")
_EQUALS = re.compile(r"[^\n\d]{0,40}?(?:=|\u2248|\bequals\b)[\s*$\\({]*")
_PARTS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_REPLACED = str.maketrans(
    {sign: f" {text}" for sign, text in _PARTS.items()}
    | {"\uff0d": "-", "\u2013": "-", "\u2011": "-", "\uff0b": "+", "\uff04": "$"}
    | {"\uff0c": ",", "\uff0e": ".", "\u066b": ".", "\u066c": ","}
)
"""Signs of other keyboards. NFKC would do too much: it makes 102 of 10²."""


_TEN_RAISED = re.compile(
    rf"([\u00d7\u00b7x*]{_BLANK}?10)([\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)"
)
_LOWERED = str.maketrans(
    "\u207a\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "+-0123456789"
)
_IN_FRACTIONS = re.compile(r"(\\[dt]?frac)(?:(\d)(\d)|\{[-\u2212](?=\d+\}))")
_COMMA = re.compile(r"(?<=\d)(?:\{,\}|,\\!)(?=\d)")
_SPACE = re.compile(r"(?<=\d)\\[,:; ](?=\d{3}(?!\d))")
_BEFORE = re.compile(r"(?:\u221a|\\sqrt(?:\[\d+\])?\{?|\\[dt]?frac\{(?:[^{}\d]{0,9}\}\{)?)[ -]?$")
_AFTER = re.compile(rf"{_BLANK}?(?:\u221a|\u03c0|\\sqrt|\\pi(?![a-z]))|\}}\{{")
"""What makes a number a part of a root, a multiple of pi, or a fraction of more than numbers."""
_SIGN_IN_WORDS = re.compile(r"(?<![\d)%] )\b(?:minus|negative) (?=\$?\.?\d)", re.IGNORECASE)
_HAS_SIGN_WORD = re.compile("minus|negative", re.IGNORECASE)


class Number:
    """A number in a text.

    Attributes:
        value: None where the digits are no single number, such as a date.
        note: how it was read where another reading is possible, or why there is no value.
        is_percent: whether a percent sign follows; ``value`` is what stands before it.
    """

    def __init__(self, start: int, end: int, read: re.Match[str] | tuple[Fraction | None, str]):
        self.start, self.end, self._read = start, end, read
        self.is_percent = isinstance(read, re.Match) and read["percent"] is not None

    @cached_property
    def _reading(self) -> tuple[Fraction | None, str]:
        return _value(self._read) if isinstance(self._read, re.Match) else self._read

    @property
    def value(self) -> Fraction | None:
        """See above; most numbers of a text are never asked for theirs."""
        return self._reading[0]

    @property
    def note(self) -> str:
        """See above."""
        return self._reading[1]

    @classmethod
    def of(cls, value: Fraction | None, note: str, start: int = 0, end: int = 0) -> "Number":
        """Return a number that was read otherwise, or none that has a value, with a note."""
        return cls(start, end, (value, note))

    def moved(self, by: int) -> "Number":
        """Return the number at its place in a longer text."""
        return Number(self.start + by, self.end + by, self._read)


def plain(text: str) -> str:
    """Return a text with the signs of other keyboards and of LaTeX replaced, and -5 for "minus 5"."""
    if not text.isascii():
        text = _TEN_RAISED.sub(lambda m: f"{m[1]}^{m[2].translate(_LOWERED)}", text.translate(_REPLACED))
    if "\\" in text or "{,}" in text:
        text = _SPACE.sub("\u2009", _COMMA.sub(",", _IN_FRACTIONS.sub(_fraction, text)))
    return _SIGN_IN_WORDS.sub("-", text) if _HAS_SIGN_WORD.search(text) else text


def _fraction(match: re.Match[str]) -> str:
    """Return ``\\frac{1}{2}`` for ``\\frac12``, and ``-\\frac{`` for ``\\frac{-``."""
    return f"{match[1]}{{{match[2]}}}{{{match[3]}}}" if match[2] else f"-{match[1]}{{"


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers in a text, from left to right."""
    for match in _NUMBER.finditer(text):
        yield Number(*match.span(), match)


def joined(text: str, left: Number, right: Number) -> bool:
    """Return True if two neighbours are a range, a choice or a calculation: ``5-10``, ``5 or 10``, ``5 + 10``."""
    between = text[left.end : right.start]
    if _JOINED.fullmatch(between):
        return "to" not in between or not re.search(r"\bfrom\s+\S?$", text[max(left.start - 12, 0) : left.start])
    before = text[max(left.start - 12, 0) : left.start]
    return between.strip() == "and" and re.search(r"\bbetween\s+\S?$", before, re.IGNORECASE) is not None


def result(text: str, found: list[Number]) -> Number | None:
    """Return the number that a text begins with; of a calculation, what follows its equals sign.

    A range, or a calculation without a result, has no value.
    """
    first = 0
    while first < len(found):
        last = first
        while last + 1 < len(found) and joined(text, found[last], found[last + 1]):
            last += 1
        following = last + 1
        if following < len(found) and _EQUALS.fullmatch(text[found[last].end : found[following].start]):
            first = following
            continue
        if first == last:
            last = _end_of_list(text, found, first)
        return found[first] if first == last else _chain(text, found[first], found[last])
    return None


def _end_of_list(text: str, found: list[Number], first: int) -> int:
    """Return the index of the last number of a list that ends the text: ``5, 6 and 7``; ``first`` for no list."""
    last = first
    while last + 1 < len(found) and _LISTED.fullmatch(text[found[last].end : found[last + 1].start]):
        last += 1
    return last if _CLOSED.fullmatch(text[found[last].end :]) else first


def last(text: str, found: list[Number]) -> Number | None:
    """Return the last number of a text; a range, or a calculation without a result, has no value."""
    if not found:
        return None
    if len(found) > 1 and joined(text, found[-2], found[-1]):
        return _chain(text, found[-2], found[-1])
    return found[-1]


def _value(match: re.Match[str]) -> tuple[Fraction | None, str]:
    text = " ".join(match[0].split())
    if len(text) > MOST_DIGITS:
        return None, "a number of too many digits"
    if match["raised"]:
        return None, f"{text} is a power"
    if _BEFORE.search(match.string, max(match.start() - 24, 0), match.start()) or _AFTER.match(
        match.string, match.end()
    ):
        return None, f"{text} is a part of an expression"
    value, note = _core(match)
    if value is None:
        return None, note
    power = int((match["exponent"] or match["power"] or "0").replace("\u2212", "-"))
    if abs(power) > MOST_DIGITS:
        return None, "a number of too many digits"
    scale = (match["scale"] or "").lower()
    if scale and (scale not in ("m", "b") or match["currency"]):  # 5m is a length, $5m a sum
        power += _POWERS[scale]
    if power != 0 and not (match["exponent"] or match["power"]):
        note = f"{text} read as {written(value * 10**power)}"
    if power:
        value *= Fraction(10) ** power
    negative = (match["sign"] or match["inner_sign"] or "+") in "-\u2212"
    return -value if negative else value, note


def _core(match: re.Match[str]) -> tuple[Fraction | None, str]:
    """Return the value without sign and power of ten, and a note as in :class:`Number`."""
    if match["hexadecimal"]:
        return None, f"{match['hexadecimal']} is hexadecimal"
    if match["digits"]:
        return read_digits(match["digits"])
    whole = f"{match['whole'].strip()} " if match["whole"] else ""
    return read_digits(f"{whole}{match['above']}/{match['below']}")


def _chain(text: str, first: Number, last: Number) -> Number:
    shown = " ".join(text[first.start : last.end].split())
    return Number.of(None, f"{shown} is a range, a list, a choice or no result", first.start, last.end)
