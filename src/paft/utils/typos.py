"""Typing mistakes in a word, made by rule; in prompts that are attacked, and in inputs that BATprompt perturbs."""

import random
import string

_NEIGHBOURS = {
    key: row[max(i - 1, 0) : i] + row[i + 1 : i + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, key in enumerate(row)
}
_LOOK_ALIKES = {"a": "@", "b": "8", "e": "3", "g": "9", "i": "1", "l": "1", "o": "0", "s": "5", "t": "7", "z": "2"}


def typo(word: str, draw: random.Random) -> str:
    """Swap two letters, leave one out, double one, or hit the key beside it, in a word of two letters or more."""
    i = draw.randrange(len(word) - 1)
    beside = draw.choice(_NEIGHBOURS.get(word[i].lower(), word[i]))
    return draw.choice(
        (
            word[:i] + word[i + 1] + word[i] + word[i + 2 :],
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
            word[:i] + beside + word[i + 1 :],
        )
    )


def altered(word: str, draw: random.Random) -> str:
    """Put a look-alike or another letter in the place of one."""
    i = draw.randrange(len(word))
    letter = _LOOK_ALIKES.get(word[i].lower()) or draw.choice(string.ascii_lowercase)
    return word[:i] + letter + word[i + 1 :]


def mistyped(text: str, share: float, draw: random.Random) -> str:
    """Return a text with a typing mistake in this share of its words of two letters or more, at least in one."""
    pieces = text.split(" ")
    places = [i for i, piece in enumerate(pieces) if len(piece) > 1]
    for i in draw.sample(places, min(len(places), max(1, round(len(places) * share)))):
        pieces[i] = typo(pieces[i], draw)
    return " ".join(pieces)
