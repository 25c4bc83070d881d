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
# ruff: noqa: RUF001 -- words in other scripts
_SCALES = {
    2: "hundred",
    3: "thousand|tausend|mil(?:le)?|тысяч[аи]?|тыс|(?<=\d)k",
    5: "lakhs?",
    6: "millions?|millionen|millones|mill[oó]n|milh(?:ão|ões)|milion[ei]|miljoen|mio|миллион(?:а|ов)?|млн"
    "|(?<=\d)m",
    7: "crores?",
    9: "billions?|milliards?|milliarden?|miliard[oi]|miljard|mrd|миллиард(?:а|ов)?|млрд|(?<=\d)(?:bn|b)",
    12: "trillions?|billion(?:en|es)",
}
"""Words that multiply the number before them, by the power of ten."""
_SCALE_SIGNS = {3: "千(?![米克瓦卡])|천", 4: "[万萬만]", 8: "[亿億억]"}
"""The same in Chinese, Japanese and Korean, without a space after them; 3千米 is 3 km."""
_SCALE = rf"""
    (?:{_BLANK}?(?P<scale>(?:{"|".join(_SCALES.values())})\b(?!\$)|(?<=\d)(?:{"|".join(_SCALE_SIGNS.values())})))?
"""
_NUMBER = re.compile(
    rf"""{_APART} {_SIGN} {_CURRENCY}
    (?:(?P<hexadecimal>0x[\da-f]+\b)|{_LATEX}|(?P<digits>{DIGITS}))
    {_POWER_OF_TEN} {_RAISED} {_PERCENT} {_SCALE}""",
    re.VERBOSE | re.IGNORECASE,
)
_JOINED = re.compile(
    rf"{_BLANK}*(?:[-\u2013\u2014~+*/\u00d7\u00f7\u2212\u00b1]|\^\{{?|\+{_BLANK}?/{_BLANK}?-|x|to|or|plus|minus"
    rf"|times|out of|\\times|\\cdot|\\div|\\pm|\\text\{{{_BLANK}*(?:or|to|and){_BLANK}*\}}){_BLANK}*|:|\*\*"
    rf"|[*$]*,?{_BLANK}(?:or|and){_BLANK}[*$]*[a-z]{_BLANK}?={_BLANK}?"
)
_JOINED_UNITS = re.compile(rf"{_BLANK}?(?P<unit>[^\W\d_]{{1,12}}){_BLANK}?(?:[-\u2013\u2014~]|to|or){_BLANK}?\$?")
_MONTH = (
    r"(?:jan|febr?|mar|apr|aug|sept?|oct|nov|dec)\b\.?|(?:january|february|march|april|may|june|july|august"
    r"|september|october|november|december)"
)
_DAY_AND_YEAR = re.compile(rf"(?:st|nd|rd|th)?,?{_BLANK}", re.IGNORECASE)
_MONTH_BEFORE = re.compile(rf"\b(?:{_MONTH}){_BLANK}$", re.IGNORECASE)
_MONTH_BETWEEN = re.compile(rf"(?:st|nd|rd|th)?(?:{_BLANK}of)?{_BLANK}(?:{_MONTH}),?{_BLANK}", re.IGNORECASE)
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
_BEFORE = re.compile(
    r"(?:\u221a|\\?sqrt(?:\[\d+\])?[{(]?|\\[dt]?frac\{(?:[^{}\d]{0,9}\}\{)?"
    r"|(?:\bpi|\u03c0)[ ]?[*/][ ]?|\\pm|\u00b1)[ -]?$"
)
_AFTER = re.compile(rf"{_BLANK}?(?:\u221a|\*?{_BLANK}?(?:\u03c0|\\?\bpi(?![a-z]))|\\?sqrt)|\}}\{{")
"""What makes a number a part of a root, a multiple of pi, one of two signs, or a fraction of more than numbers."""
_PAIR = re.compile(r"\d+,(?:\d{1,2}|\d{4,})")
"""Digits that are a pair within brackets of their own, and a decimal number elsewhere."""
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
    """Return True if two neighbours are a range, a choice, a calculation or a date, such as ``5-10``."""
    between, before = text[left.end : right.start], text[max(left.start - 12, 0) : left.start]
    if not between:  # 3億5000万
        return True
    units = _JOINED_UNITS.fullmatch(between)
    has_same_units = units is not None and text[right.end :].lstrip().startswith(units["unit"])
    if has_same_units or _JOINED.fullmatch(between):
        return "to" not in between or not re.search(r"\bfrom\s+\S?$", before)
    if _MONTH_BETWEEN.fullmatch(between) or (_DAY_AND_YEAR.fullmatch(between) and _MONTH_BEFORE.search(before)):
        return True
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
    if _PAIR.fullmatch(match[0]) and _is_in_brackets(match.string, *match.span()):
        return None, f"{text} is a pair"
    power = int((match["exponent"] or match["power"] or "0").replace("\u2212", "-"))
    if abs(power) > MOST_DIGITS:
        return None, "a number of too many digits"
    scale = (match["scale"] or "").lower()
    if scale and (scale not in ("m", "b") or match["currency"]):  # 5m is a length, $5m a sum
        power += _power(scale)
    if power != 0 and not (match["exponent"] or match["power"]):
        note = f"{text} read as {written(value * 10**power)}"
    if power:
        value *= Fraction(10) ** power
    negative = (match["sign"] or match["inner_sign"] or "+") in "-\u2212"
    return -value if negative else value, note


def _is_in_brackets(text: str, start: int, end: int) -> bool:
    return text[start - 1 : start] in ("(", "[") or text[max(start - 2, 0) : start] == "\\{"


def _power(scale: str) -> int:
    """Return the power of ten of a word or sign of :data:`_SCALES` or :data:`_SCALE_SIGNS`."""
    for power, words in (*_SCALES.items(), *_SCALE_SIGNS.items()):
        if re.fullmatch(words.replace(r"(?<=\d)", ""), scale, re.IGNORECASE):
            return power
    raise ValueError(f"no scale: {scale}")


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
