"""How similar prompts are in wording, and how diverse a set of prompts is."""

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paft.prompts.rules import normalised, split_words
from paft.prompts.template import ending, slots
from paft.types import Prompt


class Wordings:
    """The words of prompts as strings with one character per word, which rapidfuzz compares quickly.

    The similarity of two prompts with ``n1`` and ``n2`` words is ``2 m / (n1 + n2)``, where ``m`` is the length of
    their longest common subsequence of words. Case, spacing and punctuation are ignored; a slot is one word.
    """

    def __init__(self, aliases: Mapping[str, str]):
        self._aliases = aliases
        self._characters: dict[str, str] = {}

    def encode(self, prompt: Prompt) -> str:
        """Return the prompt's words, one character per word."""
        return "".join(
            self._characters.setdefault(word, chr(0x4E00 + len(self._characters)))
            for word in normalised(prompt, self._aliases).split()
        )


def most_similar(encoded: str, known: Sequence[str], threshold: float) -> tuple[int, float] | None:
    """Return index and similarity of the known prompt most similar to ``encoded``; None below the threshold."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    match = process.extractOne(encoded, known, scorer=Indel.normalized_similarity, score_cutoff=threshold)
    return (match[2], match[1]) if match else None


def clusters(array: Any, threshold: float) -> list[list[int]]:
    """Return the single-linkage clusters of an array of similarities, as lists of indices, largest first."""
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(array >= threshold, directed=False)
    members: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    return sorted(members.values(), key=lambda group: (-len(group), group))


def similarities(prompts: Sequence[Prompt], aliases: Mapping[str, str]) -> Any:
    """Return the ``(prompts, prompts)`` array of similarities."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    wordings = Wordings(aliases)
    encoded = [wordings.encode(prompt) for prompt in prompts]
    return process.cdist(encoded, encoded, scorer=Indel.normalized_similarity)


@dataclass(frozen=True)
class Diversity:
    """How much the prompts of a set differ.

    Attributes:
        distance: mean over pairs of prompts of 1 - the Jaccard similarity of their word triples.
        nearest: median over prompts of the distance (1 - similarity) to the most similar prompt.
        slot_orders: each order of the slots -> the number of prompts with it.
        endings: each kind of ending (:func:`ending`) -> the number of prompts with it.
        cues: the text of each closing cue -> the number of prompts with it.
        system: the share of prompts with a system text.
        words: 10th, 50th and 90th percentile of the templates' lengths in words.
        clusters: indices of near-duplicate prompts, grouped, largest group first.
    """

    distance: float
    nearest: float
    slot_orders: Counter[str]
    endings: Counter[str]
    cues: Counter[str]
    system: float
    words: tuple[int, int, int]
    clusters: list[list[int]] = field(default_factory=list)


def diversity(prompts: Sequence[Prompt], aliases: Mapping[str, str], threshold: float) -> Diversity:
    """Measure a set of at least two prompts."""
    array = similarities(prompts, aliases)
    nearest = [1 - max(value for j, value in enumerate(row) if j != i) for i, row in enumerate(array)]
    triples = [word_triples(prompt) for prompt in prompts]
    pairs = itertools.combinations(triples, 2)
    lengths = sorted(len(normalised(prompt).split()) for prompt in prompts)
    ends = list(map(ending, prompts))
    return Diversity(
        statistics.fmean(1 - len(a & b) / len(a | b) for a, b in pairs),
        float(statistics.median(nearest)),
        Counter(" ".join(dict.fromkeys(slots(prompt, aliases))) for prompt in prompts),
        Counter(kind for kind, _ in ends),
        Counter(cue for kind, cue in ends if kind == "cue"),
        sum(bool(prompt.system) for prompt in prompts) / len(prompts),
        tuple(lengths[int(len(lengths) * share)] for share in (0.1, 0.5, 0.9)),  # type: ignore[arg-type]
        [group for group in clusters(array, threshold) if len(group) > 1],
    )


def word_triples(prompt: Prompt) -> frozenset[tuple[str, ...]]:
    """Return all sequences of three words in a prompt, and the sequence of all its words."""
    words = split_words(f"{prompt.system or ''} {prompt.text}".lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False)) | {tuple(words)}
