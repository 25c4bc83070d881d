"""Exact match after SQuAD's normalisation, or as it stands."""

import re
import string
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from paft.scoring.text_scorer import ASK, MARKUP, TextScorer
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_IN_NUMBERS = (
    r"(?:(?<=\d)(?<!/\d)(?<!/\d\d)/(?=\d+(?![\d/]))|(?<=\d),(?=\d{1,2}(?![\d,])))"  # in no date, no 12,34,567
)
_OUTSIDE_NUMBERS = re.compile(
    rf"(?<!\d)\.|\.(?!\d)|(?<=\w)-|-(?!\$?\.?\d)"
    rf"|(?!{_IN_NUMBERS})[{re.escape(string.punctuation)}](?<![.-])"
)
"""Punctuation other than the point and the sign of a number, its decimal comma, and the bar of a fraction."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")


_TYPED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2026", ""),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys(
            "\u00bf\u00a1\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b\u300c\u300d\u060c\u061b\u061f\u0964", ""
        ),
    }
)
"""Punctuation that keyboards and models write instead of the signs of ASCII, and that of other scripts."""


class ExactScorer(TextScorer):
    """Right if an output equals an accepted answer up to case, punctuation, articles and spacing.

    Args:
        normalise: ``squad``; or ``none``, which ignores only white space at the ends and the Unicode form.

    Source: the evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """

    name = "exact"
    forbidden_requests: ClassVar = {
        **MARKUP,
        "a sentence": rf"{ASK}[^.\n]{{0,30}}\b(?:in|as|with) (?:an? |one )?(?:full|complete|whole) sentences?\b",
        "an explanation": r"\b(?:explain|justify|defend) (?:why|how|your|the|each)\b"
        r"|\bshow your (?:work|reasoning)\b",
    }

    def __init__(self, task: "Task", normalise: str = "squad"):
        super().__init__(task)
        self._normalised = normalisation(normalise)
        self._of_target = lru_cache(100_000)(self._normalised)

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where both are equal after normalisation, else 0."""
        return float(self._normalised(answer) == self._of_target(target))

    def check_target(self, target: str) -> str | None:
        """Refuse a target of which nothing is left."""
        return None if self._of_target(target) else NOTHING_LEFT


NOTHING_LEFT = "is nothing but punctuation and articles, which are ignored; set normalise: none"


def normalised(text: str) -> str:
    """Return a text in lower case, without punctuation and English articles, with single spaces.

    Unlike in SQuAD's script, the sign, the point and the decimal comma of a number and the bar of a fraction stay
    (-5 is not 5, 3.5 and 3,5 are not 35, and 1/2 is not 12), and curly quotes, dashes and the punctuation of other
    scripts count as punctuation too.
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_TYPED)
    has_number = any(mark in text for mark in ".-,/") and any(digit in text for digit in string.digits)
    text = _OUTSIDE_NUMBERS.sub("", text) if has_number else text.translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _as_written(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def normalisation(name: str) -> Callable[[str], str]:
    """Return the function of the setting ``normalise``.

    Raises:
        UserError: there is no such normalisation.
    """
    return normalised if choice("task.scorer.normalise", name, ("squad", "none")) == "squad" else _as_written
