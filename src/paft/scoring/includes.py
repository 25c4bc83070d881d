"""Whether an output holds an accepted answer."""

import re
import unicodedata
from typing import TYPE_CHECKING

from paft.scoring.fold import as_typed
from paft.scoring.text_scorer import TextScorer, unusable

if TYPE_CHECKING:
    from paft.tasks.task import Task

_JOINED = r"[^\W_\u0e00-\U0010ffff]"
"""A letter or digit of a script that puts spaces between words: none from Thai on, so no Chinese, Korean, ..."""


class IncludesScorer(TextScorer):
    """Right if an accepted answer occurs in the output, up to case, spacing and how quotes and hyphens are typed.

    A denied answer counts too: ``not Paris`` includes ``Paris``.

    Args:
        whole_words: an answer within a longer word or number does not count: 12 is not in 112, no is not in know.
    """

    name = "includes"
    wanted = "a text that holds the answer word for word"

    def __init__(self, task: "Task", whole_words: bool = True):
        super().__init__(task)
        self.whole_words = whole_words

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where the answer holds the target, else 0."""
        answer, wanted = _plain(answer), _plain(target)
        if not wanted:
            raise unusable(target, "includes", "invisible characters only")
        if not self.whole_words or wanted not in answer:
            return float(wanted in answer)
        start = rf"(?<!{_JOINED})(?<!\d[.,])(?<!\W-)(?<!^-)" if wanted[0].isdigit() else rf"(?<!{_JOINED})"
        end = rf"(?!{_JOINED}|[.,]\d)" if wanted[-1].isdigit() else rf"(?!{_JOINED})"
        pattern = (
            (start if re.match(_JOINED, wanted) else "")
            + re.escape(wanted)
            + (end if re.match(_JOINED, wanted[-1]) else "")
        )
        return float(re.search(pattern, answer) is not None)

    def check_target(self, target: str) -> str | None:
        """Refuse a target of which nothing is left: every output holds it."""
        return None if _plain(target) else "is nothing but invisible characters, which are ignored"


def _plain(text: str) -> str:
    text = text if text.isascii() else as_typed(unicodedata.normalize("NFC", text))
    return " ".join(text.casefold().split())
