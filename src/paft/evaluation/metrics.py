"""Metrics over the grid of prompts and examples (section 4.1 of the paper), with 95 % intervals."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """The metrics of a grid. Scores and shares are fractions of 1; std is the sample standard deviation.

    The score of a prompt is its mean score over the examples: its accuracy, where every score is 0 or 1.

    Attributes:
        mean, std, worst, best: of the prompts' scores. ``std`` and ``std_interval`` are None for a single prompt.
        top: share of the prompts whose score reaches the threshold of the task.
        disagreement: mean absolute difference of an example's score between two prompts, over all pairs of prompts
            and all examples; None for a single prompt. Where scores are 0 or 1, it is how often one of the two
            prompts gets the example right and the other does not.
        right_under_all: mean over the examples of the lowest score under any prompt. Where scores are 0 or 1, it
            is the share of the examples that are right under every prompt.
        per_prompt: the score of each prompt.
    """

    mean: float
    std: float | None
    top: float
    worst: float
    best: float
    prompts: int
    examples: int
    disagreement: float | None
    right_under_all: float
    mean_interval: Interval
    std_interval: Interval | None
    top_interval: Interval
    right_under_all_interval: Interval
    per_prompt: tuple[float, ...]


def summarise(scores: np.ndarray, top: float, *, is_binary: bool, seed: int = 0) -> Summary:
    """Return the metrics of a grid.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1.
        top: the score from which on a prompt counts for the Top figure.
        is_binary: whether every score is 0 or 1. If so, ``right_under_all`` is a share and has Wilson's interval;
            if not, it has a bootstrap interval over the examples (its coverage: tests/evaluation/test_metrics.py).
    """
    scores = scores.astype(float)
    prompts, examples = scores.shape
    per_prompt, lowest = scores.mean(axis=1), scores.min(axis=0)
    top_prompts = int((per_prompt >= top - 1e-12).sum())
    if is_binary:
        lowest_interval = share_interval(int(lowest.sum()), examples)
    else:
        lowest_interval = interval(bootstrap(lowest[None], seed))
    return Summary(
        mean=float(per_prompt.mean()),
        std=sample_std(per_prompt),
        top=top_prompts / prompts,
        worst=float(per_prompt.min()),
        best=float(per_prompt.max()),
        prompts=prompts,
        examples=examples,
        disagreement=_disagreement(scores),
        right_under_all=float(lowest.mean()),
        mean_interval=interval(bootstrap(scores, seed)),
        std_interval=std_interval(per_prompt),
        top_interval=share_interval(top_prompts, prompts),
        right_under_all_interval=lowest_interval,
        per_prompt=tuple(float(score) for score in per_prompt),
    )


def majority(targets: Sequence[Collection[str]]) -> float:
    """Return the best accuracy of an answer that is always the same.

    Args:
        targets: the accepted answers of each example.
    """
    return max(Counter(answer for accepted in targets for answer in set(accepted)).values()) / len(targets)


def balanced_accuracy(scores: np.ndarray, targets: Sequence[str]) -> float:
    """Return the mean over the targets of the mean score on their examples.

    An answer that is always the same gets 1 / number of targets, however often its target occurs.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1.
        targets: of each example.
    """
    per_example, labels = scores.mean(axis=0), np.asarray(targets, dtype=object)
    return float(np.mean([per_example[labels == label].mean() for label in dict.fromkeys(targets)]))


def sample_std(values: np.ndarray) -> float | None:
    """Return the sample standard deviation; None for a single value, which has no spread."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def std_interval(values: np.ndarray) -> Interval | None:
    """Return the chi-square interval of the standard deviation of which ``values`` are a sample.

    None for a single value. A bootstrap, as for the mean, would count the noise of a finite number of examples
    twice: Std includes it already. Over 5 to 50 prompts this interval covered the true value for 91 to 97 of 100
    samples, of normal and of skewed accuracies, and a bootstrap over prompts for 71 to 92 (docs/log.md).
    """
    from scipy.stats import chi2

    std, freedom = sample_std(values), len(values) - 1
    if std is None:
        return None
    low, high = std * np.sqrt(freedom / chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], freedom))
    return Interval(float(low), float(high))


def share_interval(count: int, of: int) -> Interval:
    """Return Wilson's interval of a share."""
    from scipy.stats import binomtest

    wilson = binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return Interval(float(wilson.low), float(wilson.high))


def _disagreement(scores: np.ndarray) -> float | None:
    prompts = len(scores)
    if prompts < 2:
        return None
    # In ascending order, a score is subtracted from those above it and has those below it subtracted from it.
    weights = 2 * np.arange(prompts) - (prompts - 1)
    differences = (weights[:, None] * np.sort(scores, axis=0)).sum(axis=0)
    return float(differences.mean() / (prompts * (prompts - 1) / 2))


def bootstrap(scores: np.ndarray, seed: int) -> np.ndarray:
    """Resample prompts and examples, both with replacement; return the mean score of each draw."""
    rng = np.random.default_rng(seed)
    prompts, examples = scores.shape
    weights = rng.multinomial(examples, np.full(examples, 1 / examples), size=DRAWS) / examples
    per_prompt = weights @ scores.T.astype(float)  # (draws, prompts)
    return np.take_along_axis(per_prompt, rng.integers(prompts, size=(DRAWS, prompts)), axis=1).mean(axis=1)


def interval(values: np.ndarray) -> Interval:
    """Return the middle 95 % of bootstrap draws."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
