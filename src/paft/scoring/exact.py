"""Exact match after SQuAD's normalisation, or as it stands."""

import re
import string
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from paft.scoring.fold import INVISIBLE, without_direction_marks
from paft.scoring.text_scorer import ASK, MARKUP, TextScorer
from paft.utils.settings import choice

if TYPE_CHECKING:
    from paft.tasks.task import Task

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MARK = f"[{re.escape(string.punctuation)}]"
_MEANT = "|".join(
    (
        r"(?<=\d)\.(?=\d)|(?<![\w.])\.(?=\d)",  # the point of a number
        r"(?<=\d)(?<!,\d)(?<!,\d\d),(?=\d{1,2}(?![\d,]))",  # its decimal comma; in no list, no 12,34,567
        r"(?<=\d)(?<!/\d)(?<!/\d\d)/(?=\d+(?![\d/]))",  # the bar of a fraction; in no date
        r"(?<!\w)-(?=\$?\.?\d)",  # the sign of a number
        r"(?<=\w)-(?![\w$-])",  # O-
        r"(?<=\w)#|(?<=[\w)\]])\+|(?<=[\w)\]]\+)\+|(?<=\w )\+(?= )",  # C#, C++, a + b; not before a text
        r"(?<![-=<>])[<>](?==? ?[-+$.]?\d)|(?<=\w )[<>](?==? \w)|(?<=\w)[<>](?==?\w)|(?<=[<>])=",  # < 3, a >= b
    )
)
"""Signs that change an answer."""
_GROUPING = r"(?<=\d)[,'](?=\d{3}(?!\d)|(?:\d{2,3}[,'])+\d{3}(?!\d))"
_BETWEEN_NUMBERS = re.compile(rf"(?<=\d)(?={_MARK}\$?\d)(?!{_MEANT}|{_GROUPING}){_MARK}")
_OTHER = re.compile(rf"(?={_MARK})(?!{_MEANT}){_MARK}")
_MAY_BE_MEANT = re.compile(r"[-+#<>0-9]")
_COMPARISON = re.compile(r"[<>]=?")
_ARTICLES = re.compile(r"\b(?:an|the|a(?=\s+-?\w))\b(?![+#-])")
"""English articles; an A that no word follows is a name: vitamin A."""

_TYPED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2026", ""),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00bf\u00a1\u3001\u3002\uff01\uff1f\uff1b\u300c\u300d\u060c\u061b\u061f\u0964", ""),
        "\uff0c": ",",
        "\uff1a": ":",
        "\u2264": "<=",
        "\u2265": ">=",
        **dict.fromkeys(INVISIBLE, ""),
    }
)
"""Punctuation that keyboards and models write instead of the signs of ASCII, and that of other scripts."""


class ExactScorer(TextScorer):
    """Right if an output equals an accepted answer up to case, punctuation, articles and spacing.

    Args:
        normalise: ``squad``; or ``none``, which ignores only white space at the ends, the
            Unicode form and the direction marks of right-to-left text.

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

    def comparison_key(self, text: str) -> str:
        """Return the normalised text."""
        return self._of_target(text)

    def check_target(self, target: str) -> str | None:
        """Refuse a target of which nothing is left."""
        return None if self._of_target(target) else NOTHING_LEFT


NOTHING_LEFT = "is nothing but punctuation and articles, which are ignored; set normalise: none"


def normalised(text: str) -> str:
    """Return a text in lower case, without punctuation and English articles, with single spaces.

    Unlike in SQuAD's script, signs that change an answer stay: the sign, the point and the decimal comma of a
    number and the bar of a fraction (-5 is not 5, 3.5 and 3,5 are not 35, 1/2 is not 12), comparisons (< 3), and
    + - # after a word (O- is neither O nor O+, C# is not C). Between digits, punctuation separates: 10:30 is not
    1030, and 3/4/2024 is 3-4-2024. An A at the end is no article. Curly quotes, dashes and the punctuation of
    other scripts count as punctuation too.
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_TYPED)
    if _MAY_BE_MEANT.search(text):
        text = _COMPARISON.sub(r" \g<0> ", _OTHER.sub("", _BETWEEN_NUMBERS.sub(" ", text)))
    else:
        text = text.translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _as_written(text: str) -> str:
    return unicodedata.normalize("NFC", without_direction_marks(text).strip())


def normalisation(name: str) -> Callable[[str], str]:
    """Return the function of the setting ``normalise``.

    Raises:
        UserError: there is no such normalisation.
    """
    return normalised if choice("task.scorer.normalise", name, ("squad", "none")) == "squad" else _as_written
