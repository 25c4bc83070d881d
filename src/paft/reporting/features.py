"""The traits of prompts, and the difference in accuracy that goes with each trait."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paft.evaluation.metrics import LEVEL, Interval
from paft.prompts.template import ending, replace_slots, slot_matches
from paft.types import Prompt

DRAWS = 10_000
SMALLEST = 4
"""The minimum number of prompts in each group for which an effect is estimated."""


@dataclass(frozen=True)
class PromptTraits:
    """The traits of a prompt.

    Attributes:
        words: the number of words in the template; a slot counts as one word.
        lines: the number of lines of the user text.
        system: whether the prompt has a system text.
        options: ``spelled out``, ``filled in`` (by a slot) or ``not shown``.
        options_in: the text that holds the options, ``system`` or ``user``; None if they are not shown.
        first: which comes first, ``options`` or ``question``; None if no options are shown.
        ending: the kind of ending, see :func:`paft.prompts.template.ending`.
    """

    words: int
    lines: int
    system: bool
    options: str
    options_in: str | None
    first: str | None
    ending: str

    def describe(self) -> str:
        """Return the traits as a phrase."""
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


def traits_of(
    prompt: Prompt, fields: Sequence[str], labels: Sequence[str] | None, aliases: Mapping[str, str]
) -> PromptTraits:
    """Return the traits of a prompt.

    Args:
        fields: names of the question's columns; if empty, every slot that shows no option counts as the question.
        labels: the task's fixed options, which a prompt may spell out.
        aliases: slot name -> the name that it stands for.
    """
    system = prompt.system or ""
    text = f"{system}\n{prompt.text}"
    slots = {m.start(): aliases.get(m[1], m[1]) for m in slot_matches(text)}
    options = [start for start, name in slots.items() if name == "choices" or re.fullmatch("[A-Z]", name)]
    question = [start for start, name in slots.items() if (name in fields if fields else start not in options)]
    how = "filled in"
    if not options and labels:
        matches = [re.search(rf"(?<!\w){re.escape(label)}", text, re.IGNORECASE) for label in labels]
        options = [match.start() for match in matches if match] if all(matches) else []
        how = "spelled out"
    start = min(options, default=None)
    return PromptTraits(
        words=len(re.findall(r"\w+", replace_slots(text, lambda name: " slot "))),
        lines=len(prompt.text.strip().split("\n")),
        system=bool(system),
        options=how if options else "not shown",
        options_in=None if start is None else "system" if start < len(system) else "user",
        first=None if start is None or not question else "options" if start < min(question) else "question",
        ending=ending(prompt)[0],
    )


def contrasts(prompts: Sequence[PromptTraits]) -> dict[str, tuple[str, list[bool | None]]]:
    """Return each trait's opposite, and whether each prompt has the trait; None if neither applies to a prompt."""
    middle = statistics.median(prompt.words for prompt in prompts) if prompts else 0
    rules: dict[tuple[str, str], Callable[[PromptTraits], bool | None]] = {
        (f"longer than {middle:.0f} words", "shorter"): lambda prompt: prompt.words > middle,
        ("several lines", "one line"): lambda prompt: prompt.lines > 1,
        ("has a system text", "has none"): lambda prompt: prompt.system,
        ("options before the question", "after it"): lambda prompt: (
            prompt.first == "options" if prompt.first else None
        ),
        ("options shown", "not shown"): lambda prompt: prompt.options != "not shown",
        ("options in the system text", "in the user text"): lambda prompt: (
            prompt.options_in == "system" if prompt.options_in else None
        ),
        ("options spelled out", "filled in by a slot"): lambda prompt: (
            None if prompt.options == "not shown" else prompt.options == "spelled out"
        ),
        ("ends in a closing cue", "ends otherwise"): lambda prompt: prompt.ending == "cue",
        ("ends in a slot", "ends otherwise"): lambda prompt: prompt.ending == "slot",
    }
    return {name: (opposite, [rule(prompt) for prompt in prompts]) for (name, opposite), rule in rules.items()}


@dataclass(frozen=True)
class Effect:
    """The mean accuracy of prompts with a trait minus that of prompts without it, as a fraction of 1.

    ``clear``: whether the interval, widened for the number of traits tested (Bonferroni), excludes 0.
    """

    difference: float
    interval: Interval
    clear: bool


@dataclass(frozen=True)
class Trait:
    """A trait, the number of prompts with it and with its opposite, and its effect on each method.

    ``effects`` is empty if one of the two groups has fewer than :data:`SMALLEST` prompts.
    """

    name: str
    opposite: str
    having: int
    lacking: int
    effects: dict[str, Effect]


def trait_effects(
    prompts: Sequence[PromptTraits], accuracy: Mapping[str, np.ndarray], seed: int = 0
) -> list[Trait]:
    """Return the effect of every trait on every method's accuracy.

    Args:
        prompts: the traits of each prompt.
        accuracy: by method, the accuracy under each prompt; NaN for prompts that the method was not evaluated on.
    """
    groups = {}
    for name, (opposite, has) in contrasts(prompts).items():
        having = np.array([i for i, h in enumerate(has) if h is True], dtype=int)
        lacking = np.array([i for i, h in enumerate(has) if h is False], dtype=int)
        groups[name] = opposite, having, lacking
    tested = sum(min(len(a), len(b)) >= SMALLEST for _, a, b in groups.values())
    results = []
    for name, (opposite, having, lacking) in groups.items():
        enough = min(len(having), len(lacking)) >= SMALLEST
        effects = {
            method: effect(values[having], values[lacking], tested, seed)
            for method, values in accuracy.items()
            if enough and not np.isnan(values).any()
        }
        results.append(Trait(name, opposite, len(having), len(lacking), effects))
    return results


def effect(having: np.ndarray, lacking: np.ndarray, comparisons: int = 1, seed: int = 0) -> Effect:
    """Return the difference between two groups' means with its 95 % bootstrap interval over prompts.

    Each group is resampled separately. The bootstrap understates the standard error of a mean of n values by a
    factor of sqrt((n - 1) / n) (Hesterberg 2015, section 3.2). This matters in groups as small as these, so each
    group's deviations are scaled up by the inverse factor.
    """
    rng = np.random.default_rng(seed)
    difference = float(having.mean() - lacking.mean())
    draws = _deviations(having, rng) - _deviations(lacking, rng)
    tail = (1 - LEVEL) / 2
    low, high, far_low, far_high = difference + np.quantile(
        draws, [tail, 1 - tail, tail / comparisons, 1 - tail / comparisons]
    )
    return Effect(difference, Interval(float(low), float(high)), not far_low <= 0 <= far_high)


def _deviations(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(values)
    means = values[rng.integers(n, size=(DRAWS, n))].mean(axis=1)
    return (means - values.mean()) * np.sqrt(n / (n - 1))
