"""The nine ways in which BATprompt perturbs an input: three each for characters, words and sentences.

Typing mistakes and handles are made by rule; a language model is asked only for the rest.
"""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass

from paft.utils.typos import altered, typo

Rule = Callable[[str, random.Random], str]


@dataclass(frozen=True)
class Perturbation:
    """A way to perturb a text: by a rule, or by an instruction for a language model."""

    code: str
    name: str
    rule: Rule | None = None
    instruction: str = ""

    @property
    def characters(self) -> bool:
        """Whether letters are perturbed, so that similarity is measured in letters and not in meaning."""
        return self.code.startswith("C")


def _appended(word: str, draw: random.Random) -> str:
    """Add one to three characters at the end."""
    return word + "".join(draw.choices(string.ascii_lowercase + string.digits, k=draw.randint(1, 3)))


def _in_words(change: Callable[[str, random.Random], str]) -> Rule:
    """Return a rule that changes about every fifth word of two letters or more, at least one."""

    def rule(text: str, draw: random.Random) -> str:
        pieces = text.split(" ")
        places = [i for i, piece in enumerate(pieces) if len(piece) > 1]
        for i in draw.sample(places, min(len(places), max(1, len(places) // 5))):
            pieces[i] = change(pieces[i], draw)
        return " ".join(pieces)

    return rule


def _handle(text: str, draw: random.Random) -> str:
    return f"{text} @{''.join(draw.choices(string.ascii_letters + string.digits, k=draw.randint(5, 10)))}"


PERTURBATIONS = (
    Perturbation("C1", "typing mistakes", _in_words(typo)),
    Perturbation("C2", "altered letters", _in_words(altered)),
    Perturbation("C3", "appended characters", _in_words(_appended)),
    Perturbation("W1", "synonyms", instruction="Put synonyms in the place of some words."),
    Perturbation("W2", "dropped words", instruction="Leave out a few words that matter least."),
    Perturbation("W3", "added words", instruction="Add up to four neutral words that say nothing new."),
    Perturbation("S1", "a random handle", _handle),
    Perturbation("S2", "paraphrase", instruction="Say the same in other words."),
    Perturbation("S3", "other syntax", instruction="Keep the words as far as you can, and change the syntax."),
)
