"""Exact match after SQuAD's normalisation."""

import re
import string

from paft.scoring.text_scorer import TextScorer

_PUNCTUATION = str.maketrans("", "", string.punctuation)


class ExactScorer(TextScorer):
    """Right if an output equals an accepted answer up to case, punctuation, articles and spacing.

    Source: the evaluation script of SQuAD 1.1 (Rajpurkar et al., 2016).
    """

    name = "exact"

    def compare(self, answer: str, target: str) -> float:
        """Return 1 where both are equal after normalisation, else 0."""
        return float(normalised(answer) == normalised(target))


def normalised(text: str) -> str:
    """Return a text in lower case, without ASCII punctuation and English articles, with single spaces."""
    text = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
