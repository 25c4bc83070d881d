"""Numbers as people and models write them: separators, currencies, percent, fractions, powers of ten, words."""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property

MOST_DIGITS = 400
"""Longer numbers, and larger exponents, are no answer."""

_BLANK = r"[^\S\n]"
_LETTER = r"A-Za-z_\u00c0-\u024f"
"""Letters that make the digits after them part of a word, as in H2O; Chinese and others put no space there."""
_THIN = "'\u2019_\u00a0\u2009\u202f"
_CORE = rf"""
    (?P<mixed>\d{{1,9}}[ \u00a0\u202f]{{1,2}}\d{{1,9}}/\d{{1,9}}(?![\d/]))
  | (?P<fraction>\d{{1,99}}{_BLANK}?[/\u2044]{_BLANK}?\d{{1,99}}(?![\d]|[./]\d))
  | (?P<latex>(?:\d{{1,9}}[ ]?)?\\[dt]?frac\{{\d{{1,99}}\}}\{{\d{{1,99}}\}})
  | (?P<english>(?!0)\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?!\d|,\d))
  | (?P<indian>(?!0)\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?(?!\d|,\d))
  | (?P<european>(?!0)\d{{1,3}}(?:(?:\.\d{{3}})+,\d+|(?:\.\d{{3}}){{2,}})(?!\d|[.,]\d))
  | (?P<spaced>(?!0)\d{{1,3}}(?:[{_THIN}]\d{{3}})+(?:[.,]\d+)?(?!\d)
    |(?!0)\d{{1,3}}(?:[ ]\d{{3}})+(?:[.,]\d+)?(?![\d/]))
  | (?P<several>0x[\da-f]+\b|\d+(?:[.,/]\d+){{2,}}|0\d*['\u2019_]\d{{3}}(?!\d)(?:[.,]\d+)?)
  | (?P<comma>\d+,\d+)
  | (?P<plain>\d*\.\d+|\d+)
"""
_NUMBER = re.compile(
    rf"""
    (?<![{_LETTER}\d]) (?<!\d[.,'/]) (?<![{_LETTER}]-)
    (?<![{_LETTER}}}]\^) (?<![{_LETTER}}}]\^\{{) (?<![{_LETTER}}}]\^-) (?<![{_LETTER}}}]\^\{{-)
    (?P<sign>(?<![\w)\]\}}%])[-+\u2212])?
    (?:(?P<currency>(?:US)?\\?[$\u20ac\u00a3\u00a5\u20b9]{_BLANK}?|(?:USD|EUR|GBP|Rs\.?){_BLANK}?)
       (?P<inner>[-\u2212](?=[\d.]))?)?
    (?:{_CORE})
    (?:[eE](?P<exponent>[+-]?\d{{1,4}})(?![\w])
      |{_BLANK}?(?:\u00d7|x|\*|\\times|\\cdot){_BLANK}?10{_BLANK}?\^{_BLANK}?\{{?(?P<power>[-+\u2212]?\d{{1,4}})\}}?)?
    (?P<raised>[\u00b2\u00b3\u00b9\u2070-\u2079])?
    (?P<percent>{_BLANK}?(?:\\?%|\uff05|(?:percent|per[ ]cent|pct)\b))?
    (?:{_BLANK}?(?P<scale>hundred|thousand|million|billion|trillion|(?<=\d)k|(?<=\d)(?:bn|m|b))\b(?!\$))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SCALES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
    "k": 3,
    "m": 6,
    "b": 9,
    "bn": 9,
}
_JOINED = re.compile(
    rf"{_BLANK}*(?:[-\u2013\u2014~+*/\u00d7\u00f7^\u2212]|x|to|or|plus|minus|times"
    rf"|out of|\\times|\\cdot|\\div){_BLANK}*|:|\*\*"
)
_LISTED = re.compile(rf"{_BLANK}*(?:[,;]|,?{_BLANK}and\b){_BLANK}*(?:(?:and|or)\b{_BLANK}*)?")
_CLOSED = re.compile(r"[\s.)\]}$*\\]*")
_EQUALS = re.compile(r"[^\n\d]{0,40}?(?:=|\u2248|\bequals\b)[\s*$\\({]*")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_ONES)}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
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


_IN_FRACTIONS = re.compile(r"(\\[dt]?frac)(?:(\d)(\d)|\{[-\u2212](?=\d+\}))")
_COMMA = re.compile(r"(?<=\d)(?:\{,\}|,\\!)(?=\d)")
_SPACE = re.compile(r"(?<=\d)\\[,:; ](?=\d{3}(?!\d))")
_BEFORE = re.compile(r"(?:\u221a|\\sqrt(?:\[\d+\])?\{?|\\[dt]?frac\{(?:[^{}\d]{0,9}\}\{)?)[ -]?$")
_AFTER = re.compile(rf"{_BLANK}?(?:\u221a|\u03c0|\\sqrt|\\pi(?![a-z]))|\}}\{{")
"""What makes a number a part of a root, a multiple of pi, or a fraction of more than numbers."""
_NTHS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_SINGULAR = {"halves": "half"}
_SIGN_IN_WORDS = re.compile(r"(?<![\d)%] )\b(?:minus|negative) (?=\$?\.?\d)", re.IGNORECASE)
_AND_A_PART = {("and", "a", part) for part in ("half", "third", "quarter")}
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
    text = text if text.isascii() else text.translate(_REPLACED)
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


def in_words(text: str) -> Fraction | None:
    """Return the number that a text begins with in English words, up to millions."""
    total = current = 0
    read = False
    words = re.findall(r"[a-z]+", text[:200].lower())
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if word in _SMALL and not (word == "one" and following in ("of", "or")):
            current += _SMALL[word]
        elif word == "hundred" and (read or words[:position] in ([], ["a"])):
            current = (current or 1) * 100
        elif word in ("thousand", "million") and (read or words[:position] in ([], ["a"])):
            total, current = total + (current or 1) * 10 ** _SCALES[word], 0
        elif (word == "a" and not position) or (word == "and" and _goes_on(words, position)):
            continue  # a hundred, hundred and five
        elif read and (part := _NTHS.get(_SINGULAR.get(word, word.removesuffix("s")))):
            is_share = 0 < current < 20 and not total  # two thirds; twenty-third is none
            return Fraction(current, part) if is_share else None
        elif read and (word == "point" or tuple(words[position : position + 3]) in _AND_A_PART):
            return None  # five and a half
        else:
            break
        read = True
    return Fraction(total + current) if read else None


def _goes_on(words: list[str], position: int) -> bool:
    before, after = words[max(position - 1, 0)], words[position + 1 : position + 2]
    return before in ("hundred", "thousand") and bool(after) and after[0] in _SMALL


def written(number: Fraction, is_percent: bool = False) -> str:
    """Return a number in one form: ``1200``, ``0.5``, ``1/3``, ``25%``."""
    rest, places = number.denominator, 0
    while rest % 10 == 0 or rest % 5 == 0 or rest % 2 == 0:
        rest, places = rest // (10 if rest % 10 == 0 else 5 if rest % 5 == 0 else 2), places + 1
    sign = "%" * is_percent
    if rest != 1:
        return f"{number.numerator}/{number.denominator}{sign}"
    if not places:
        return f"{number.numerator}{sign}"
    digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
    return f"{'-' * (number < 0)}{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".") + sign


def _value(match: re.Match[str]) -> tuple[Fraction | None, str]:
    text = " ".join(match[0].split())
    if len(text) > MOST_DIGITS:
        return None, "a number of too many digits"
    if match["several"]:
        return None, f"{text} is a list, a date, a version or hexadecimal"
    if match["raised"]:
        return None, f"{text} is a power"
    if _BEFORE.search(match.string, max(match.start() - 24, 0), match.start()) or _AFTER.match(
        match.string, match.end()
    ):
        return None, f"{text} is a part of an expression"
    value, note = _core(match)
    if value is None:
        return None, f"{text} divides by zero"
    power = int((match["exponent"] or match["power"] or "0").replace("\u2212", "-"))
    if abs(power) > MOST_DIGITS:
        return None, "a number of too many digits"
    scale = (match["scale"] or "").lower()
    if scale not in ("m", "b") or match["currency"]:  # 5m is a length, $5m a sum
        power += _SCALES.get(scale, 0)
    if power != 0 and not (match["exponent"] or match["power"]):
        note = f"{text} read as {written(value * 10**power)}"
    if power:
        value *= Fraction(10) ** power
    negative = (match["sign"] or match["inner"] or "+") in "-\u2212"
    return -value if negative else value, note


def _core(match: re.Match[str]) -> tuple[Fraction | None, str]:
    kind = next(name for name in _KINDS if match[name])
    text = match[kind]
    if kind in ("mixed", "fraction", "latex"):
        *whole, above, below = (int(digits) for digits in re.findall(r"\d+", text))
        if not below:
            return None, ""
        value = sum(whole) + Fraction(above, below)
        return value, f"{text} read as {written(value)}" if text != written(value) else ""
    if kind == "plain":
        value = Fraction(text if "." in text else int(text))
        is_grouped = re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text)  # a thousand, where the point groups digits
        return value, f"{text} read as {written(value)}" if is_grouped else ""
    if kind in ("english", "indian"):
        return Fraction(text.replace(",", "")), ""
    if kind == "comma":
        value = Fraction(text.replace(",", "."))
    elif kind == "european":
        value = Fraction(text.replace(".", "").replace(",", "."))
    else:
        value = Fraction(re.sub(rf"[ {_THIN}]", "", text).replace(",", "."))
    return value, f"{text} read as {written(value)}"


_KINDS = ("mixed", "fraction", "latex", "english", "indian", "european", "spaced", "comma", "plain")


def _chain(text: str, first: Number, last: Number) -> Number:
    shown = " ".join(text[first.start : last.end].split())
    return Number.of(None, f"{shown} is a range, a list, a choice or no result", first.start, last.end)
