"""Digits and what separates them: ``1,234.5``, ``1.234,5``, ``1 234``, ``0,125``, ``1 1/2``."""

import re
from fractions import Fraction

_BAR = r"[^\S\n]?[/\u2044][^\S\n]?"
_WHOLE = r"\d+[ \u00a0\u202f]{1,2}(?=(?!0)\d+[/\u2044]\d+(?!\d|/\d))"
_GROUP = r"[ \u00a0\u2009\u202f]\d{3}(?!\d)"
DIGITS = rf"""
    (?:{_WHOLE})?                                        # the 1 of 1 1/2
    (?:\d+{_BAR}\d+(?![.,/]?\d|{_GROUP})                 # 1/2, 1 / 2
      |(?:(?!0)\d{{1,3}}(?:{_GROUP})+|\d+|(?=\.\d))      # 1 234, 1234, nothing before .5
       (?:[.,/\u2044]\d+|['\u2019_]\d{{3}}(?!\d))*)      # decimals, further groups, parts of a date
"""
"""A pattern for ``re.VERBOSE``: digits and the separators between them.

Blanks, quotes and underscores also have other meanings (5 18, 5'10, 101_2), so three digits must follow them.
"""
_FRACTION = re.compile(rf"({_WHOLE})?(\d+){_BAR}(\d+)")


def read_digits(digits: str) -> tuple[Fraction | None, str]:
    """Return the value of what :data:`DIGITS` matches, None where that is no single number; and a note.

    The note says how the digits were read where another reading is possible, or why they have no value.

    - ``1,234``, ``1.234.567``, ``1 234``, ``1'234``, ``12,34,567``: the separator groups thousands.
    - ``3,5``, ``0,125``, ``1,2345``: a comma that groups no thousands is a decimal comma.
    - ``1.234``: a point that is the only separator is a decimal point.
    - ``1,234.5``, ``1.234,5``, ``1 234,5``: decimals, after thousands that another separator groups.
    - ``1/2``, ``1 1/2``: a fraction.
    - ``1,2,3``, ``1.2.3``, ``3/4/2024``, ``0,125,000``: no single number.
    """
    if fraction := _FRACTION.fullmatch(digits):
        whole, above, below = (int(part or 0) for part in fraction.groups())
        if not below:
            return None, f"{digits} divides by zero"
        value = whole + Fraction(above, below)
        return _noted(digits, value, is_needed=digits != written(value))
    groups, marks = re.split(r"\D", digits), re.findall(r"\D", digits)
    if not marks:
        return Fraction(int(digits)), ""
    if marks == ["."]:
        return _noted(digits, Fraction(digits), is_needed=_are_thousands(groups, marks))
    if _are_thousands(groups, marks):
        return _noted(digits, Fraction(int("".join(groups))), is_needed=marks[0] != ",")
    *thousands, decimals = groups
    *grouping, point = marks
    if point in ".," and point not in grouping and (not grouping or _are_thousands(thousands, grouping)):
        value = Fraction(f"{''.join(thousands)}.{decimals}")
        is_english = point == "." and grouping[0] == ","
        return _noted(digits, value, is_needed=not is_english)
    return None, f"{digits} is a list, a date, a version or grouped in an unknown way"


def _noted(digits: str, value: Fraction, *, is_needed: bool) -> tuple[Fraction, str]:
    return value, f"{digits} read as {written(value)}" if is_needed else ""


def _are_thousands(groups: list[str], marks: list[str]) -> bool:
    """Return True for groups of three digits after one to three that begin with no zero, by one separator.

    In India, the groups between the first and the last have two digits: ``12,34,567``.
    """
    first, *rest = groups
    if len({*marks}) > 1 or marks[0] in "/\u2044" or not 1 <= len(first) <= 3 or int(first[0]) == 0:
        return False
    sizes = [len(group) for group in rest]
    is_indian = marks[0] == "," and len(first) < 3 and sizes == [2] * (len(rest) - 1) + [3]
    return is_indian or sizes == [3] * len(rest)


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
