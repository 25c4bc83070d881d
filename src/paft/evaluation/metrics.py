"""Figures over the grid of prompts and examples (section 4.1 of the paper), with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """What a grid says. Accuracies and shares are fractions of 1; std is the sample standard deviation.

    ``unparsed`` counts the cells whose answer could not be read; they are not right, and not hidden either.
    """

    mean: float
    std: float
    top: float
    worst: float
    best: float
    unparsed: int
    prompts: int
    examples: int
    mean_interval: Interval
    std_interval: Interval
    per_prompt: tuple[float, ...]


def summarise(correct: np.ndarray, unparsed: int, top: float, seed: int = 0) -> Summary:
    """Return the figures of a grid.

    Args:
        correct: ``(prompts, examples)``, 1 where the answer is right, else 0.
        top: the accuracy from which on a prompt counts for the Top figure.
    """
    accuracy = correct.mean(axis=1)
    means, stds = bootstrap(correct, seed)
    return Summary(
        mean=float(accuracy.mean()),
        std=sample_std(accuracy),
        top=float((accuracy >= top - 1e-12).mean()),
        worst=float(accuracy.min()),
        best=float(accuracy.max()),
        unparsed=unparsed,
        prompts=correct.shape[0],
        examples=correct.shape[1],
        mean_interval=interval(means),
        std_interval=interval(stds),
        per_prompt=tuple(float(a) for a in accuracy),
    )


def sample_std(values: np.ndarray) -> float:
    """Return the sample standard deviation; 0 for a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def bootstrap(correct: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw prompts and examples anew, both with replacement; return mean and std of each draw."""
    rng = np.random.default_rng(seed)
    prompts, examples = correct.shape
    weights = rng.multinomial(examples, np.full(examples, 1 / examples), size=DRAWS) / examples
    accuracy = weights @ correct.T.astype(float)  # (draws, prompts)
    drawn = np.take_along_axis(accuracy, rng.integers(prompts, size=(DRAWS, prompts)), axis=1)
    stds = drawn.std(axis=1, ddof=1) if prompts > 1 else np.zeros(DRAWS)
    return drawn.mean(axis=1), stds


def interval(values: np.ndarray) -> Interval:
    """Return the middle 95 % of bootstrap draws."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
