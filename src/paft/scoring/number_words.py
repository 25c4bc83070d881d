"""Numbers in English words."""

import re
from fractions import Fraction

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_ONES)}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
_THOUSANDS = {"thousand": 1_000, "million": 1_000_000}
_NTHS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_SINGULAR = {"halves": "half"}
_AND_A_PART = {("and", "a", part) for part in ("half", "third", "quarter")}


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
        elif word in _THOUSANDS and (read or words[:position] in ([], ["a"])):
            total, current = total + (current or 1) * _THOUSANDS[word], 0
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
