"""How prompts are laid out, and how much each trait of the layout goes with their accuracy."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paft.evaluation.metrics import LEVEL, Interval
from paft.prompts.template import SLOT, ending
from paft.types import Prompt

DRAWS = 10_000
SMALLEST = 4
"""A group of fewer prompts says nothing on a trait."""


@dataclass(frozen=True)
class Layout:
    """A prompt's traits.

    Attributes:
        words: of the template, a slot being a word.
        options: whether the options are ``spelled out``, ``filled in`` by a slot, or ``not shown``.
        options_in: ``system`` or ``user`` text, or None where they are not shown.
        first: which stands first, the ``options`` or the ``question``; None where no options are shown.
        ending: see :func:`paft.prompts.template.ending`.
    """

    words: int
    lines: int
    system: bool
    options: str
    options_in: str | None
    first: str | None
    ending: str

    def describe(self) -> str:
        """Return the traits in words."""
        order = f"{self.first} first" if self.first else ""
        where = f"options {self.options}" + (f" in the {self.options_in} text" if self.options_in else "")
        parts = [
            f"{self.words} words",
            "system text" if self.system else "",
            order,
            where,
            f"ends with a {self.ending}",
        ]
        return ", ".join(filter(None, parts))


def layout(
    prompt: Prompt, fields: Sequence[str], labels: Sequence[str] | None, aliases: Mapping[str, str]
) -> Layout:
    """Return the traits of a prompt; without ``fields`` every slot that shows no option counts as the question."""
    system = prompt.system or ""
    text = f"{system}\n{prompt.text}"
    named = {m.start(): aliases.get(m[1], m[1]) for m in SLOT.finditer(text)}
    options = [place for place, name in named.items() if name == "choices" or re.fullmatch("[A-Z]", name)]
    question = [place for place, name in named.items() if (name in fields if fields else place not in options)]
    how = "filled in"
    if not options and labels:
        found = [re.search(rf"(?<!\w){re.escape(label)}", text, re.IGNORECASE) for label in labels]
        options = [match.start() for match in found if match] if all(found) else []
        how = "spelled out"
    start = min(options, default=None)
    return Layout(
        words=len(re.findall(r"\w+", SLOT.sub(" slot ", text))),
        lines=len(prompt.text.strip().split("\n")),
        system=bool(system),
        options=how if options else "not shown",
        options_in=None if start is None else "system" if start < len(system) else "user",
        first=None if start is None or not question else "options" if start < min(question) else "question",
        ending=ending(prompt)[0],
    )


def contrasts(layouts: Sequence[Layout]) -> dict[str, tuple[str, list[bool | None]]]:
    """Return by trait the opposite trait, and for each prompt whether it has the one; None: neither applies."""
    middle = statistics.median(one.words for one in layouts) if layouts else 0
    rules: dict[tuple[str, str], Callable[[Layout], bool | None]] = {
        (f"longer than {middle:.0f} words", "shorter"): lambda one: one.words > middle,
        ("several lines", "one line"): lambda one: one.lines > 1,
        ("has a system text", "has none"): lambda one: one.system,
        ("options before the question", "after it"): lambda one: one.first == "options" if one.first else None,
        ("options shown", "not shown"): lambda one: one.options != "not shown",
        ("options in the system text", "in the user text"): lambda one: (
            one.options_in == "system" if one.options_in else None
        ),
        ("options spelled out", "filled in by a slot"): lambda one: (
            None if one.options == "not shown" else one.options == "spelled out"
        ),
        ("ends in a closing cue", "ends otherwise"): lambda one: one.ending == "cue",
        ("ends in a slot", "ends otherwise"): lambda one: one.ending == "slot",
    }
    return {name: (opposite, [rule(one) for one in layouts]) for (name, opposite), rule in rules.items()}


@dataclass(frozen=True)
class Effect:
    """Mean accuracy of prompts with a trait less that of prompts without it, as a fraction of 1.

    ``clear``: the interval, widened for the number of traits that are looked at (Bonferroni), leaves out 0.
    """

    difference: float
    interval: Interval
    clear: bool


@dataclass(frozen=True)
class Trait:
    """A trait with the number of prompts that have it or its opposite, and its effect by method.

    ``effects`` is empty where one of the two groups is too small to say anything.
    """

    name: str
    opposite: str
    having: int
    lacking: int
    effects: dict[str, Effect]


def traits(layouts: Sequence[Layout], accuracy: Mapping[str, np.ndarray], seed: int = 0) -> list[Trait]:
    """Return the effect of every trait on every method's accuracy.

    Args:
        layouts: of the prompts.
        accuracy: by method the prompts' accuracies, NaN where a method was not asked.
    """
    groups = {}
    for name, (opposite, has) in contrasts(layouts).items():
        having = np.array([i for i, h in enumerate(has) if h is True], dtype=int)
        lacking = np.array([i for i, h in enumerate(has) if h is False], dtype=int)
        groups[name] = opposite, having, lacking
    told = sum(min(len(a), len(b)) >= SMALLEST for _, a, b in groups.values())
    found = []
    for name, (opposite, having, lacking) in groups.items():
        enough = min(len(having), len(lacking)) >= SMALLEST
        effects = {
            method: effect(values[having], values[lacking], told, seed)
            for method, values in accuracy.items()
            if enough and not np.isnan(values).any()
        }
        found.append(Trait(name, opposite, len(having), len(lacking), effects))
    return found


def effect(having: np.ndarray, lacking: np.ndarray, looked_at: int = 1, seed: int = 0) -> Effect:
    """Return the difference of two groups' means with its 95 % bootstrap interval over prompts.

    Each group is drawn anew by itself. Draws of n values spread by sqrt((n - 1) / n) too little (Hesterberg 2015,
    section 3.2), which counts in groups as small as these, so each group's draws are widened by as much.
    """
    rng = np.random.default_rng(seed)
    difference = float(having.mean() - lacking.mean())
    draws = _deviations(having, rng) - _deviations(lacking, rng)
    tail = (1 - LEVEL) / 2
    low, high, far_low, far_high = difference + np.quantile(
        draws, [tail, 1 - tail, tail / looked_at, 1 - tail / looked_at]
    )
    return Effect(difference, Interval(float(low), float(high)), not far_low <= 0 <= far_high)


def _deviations(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(values)
    means = values[rng.integers(n, size=(DRAWS, n))].mean(axis=1)
    return (means - values.mean()) * np.sqrt(n / (n - 1))
