"""The letters of options among the likeliest first tokens of an answer."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from paft.models.replies import log_sum

LEAST_MASS = 0.5
"""The least probability of all letters together with which an answer is read.

Below it the model is more likely than not to begin with something else, such as "The answer is", and which letter
is the likeliest among the rest is then not its answer."""

_SPELLING = re.compile(
    r"[\s\u2581\u0120\u010a]*"
    r"(?P<open>[(\[{<\"'*_`#]*)(?P<letter>[A-Za-z])(?P<close>[)\]}>.:,;\"'*_`]*)\s*"
)
"""A letter with spaces and marks around it; some tokenizers write signs of their own for a space or a line end."""


def letter_of(token: str) -> str | None:
    """Return the letter that a token spells: ``A``, `` A``, ``\\nA``, ``(A``, ``A.``, ``**A``, ``(a)``; else None.

    A small letter counts only with a mark: ``a`` alone is rather a word, and ``b`` the beginning of one.
    """
    match = _SPELLING.fullmatch(unicodedata.normalize("NFKC", token))
    if match is None or (match["letter"].islower() and not (match["open"] or match["close"])):
        return None
    return match["letter"].upper()


def letter_scores(first: Mapping[str, float], letters: Sequence[str]) -> list[float]:
    """Return the log-probability of each letter, summed over its spellings.

    Args:
        first: log-probabilities of the likeliest first tokens by their text.

    Returns:
        Minus infinity for a letter that is not among them. The letters hold ``sum(exp(scores))`` of the mass.
    """
    spellings: dict[str, list[float]] = {}
    for token, value in first.items():
        if letter := letter_of(token):
            spellings.setdefault(letter, []).append(value)
    return [log_sum(spellings.get(letter, ())) for letter in letters]


def mass(scores: Sequence[float]) -> float:
    """Return the probability that the letters hold together."""
    return math.exp(log_sum(scores))
