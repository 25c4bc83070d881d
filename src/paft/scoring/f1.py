"""F1 over the words of an answer, as in SQuAD."""

from collections import Counter
from functools import lru_cache
from typing import ClassVar

from paft.scoring.exact import NOTHING_LEFT, normalised
from paft.scoring.text_scorer import MARKUP, TextScorer


class F1Scorer(TextScorer):
    """The harmonic mean of precision and recall over normalised words, each as often as both texts have it.

    Source: the evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """

    name = "f1"
    is_binary = False
    forbidden_requests: ClassVar = MARKUP

    def compare(self, answer: str, target: str) -> float:
        """Return F1, from 0 to 1."""
        words, wanted = Counter(normalised(answer).split()), _words(target)
        shared = sum(min(count, words[word]) for word, count in wanted.items())
        return 2 * shared / (words.total() + wanted.total()) if shared else 0.0

    def check_target(self, target: str) -> str | None:
        """Refuse a target without words."""
        return None if _words(target) else NOTHING_LEFT.split(";")[0]


@lru_cache(100_000)
def _words(target: str) -> Counter[str]:
    return Counter(normalised(target).split())
