"""How often two prompts get the same answer from the model, right or wrong."""

from math import sqrt

import numpy as np

from paft.evaluation.intervals import LEVEL, Interval

UNREAD = -1


def consistency(answers: np.ndarray) -> tuple[float, Interval | None] | None:
    """Return the share of pairs of prompts with the same answer, averaged over the examples, with an interval.

    None for a single prompt. The interval is Wilson's, with as many observations as the jackknife variance over
    prompts and over examples corresponds to, and Student's t; None for two prompts, which say nothing about the
    variance over prompts, and for a single example. Its coverage: tests/evaluation/test_metrics.py.

    Args:
        answers: ``(prompts, examples)``, equal numbers for equal answers; :data:`UNREAD`, which equals no other,
            where no answer could be read.
    """
    prompts, examples = answers.shape
    if prompts < 2:
        return None
    agreeing = _others_with_the_same(answers) / (prompts - 1)
    share = float(agreeing.mean())
    if prompts < 3 or examples < 2:
        return share, None
    of_prompts, of_examples = agreeing.mean(axis=1), agreeing.mean(axis=0)
    # A prompt is one of the two in 2 of every `prompts` pairs, so leaving it out moves the share twice as far.
    variance = 4 * (prompts - 1) / (prompts * (prompts - 2) ** 2) * ((of_prompts - share) ** 2).sum()
    variance += of_examples.var(ddof=1) / examples
    return share, _wilson(share, float(variance), min(prompts, examples) - 1, examples)


def _others_with_the_same(answers: np.ndarray) -> np.ndarray:
    """Return how many other prompts give the answer of each cell."""
    examples = answers.shape[1]
    keys = answers.astype(np.int64) * examples + np.arange(examples)
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.where(answers == UNREAD, 0, count[place].reshape(answers.shape) - 1)


def _wilson(share: float, variance: float, freedom: int, examples: int) -> Interval:
    from scipy.stats import t

    z = float(t.ppf((1 + LEVEL) / 2, freedom))
    count = share * (1 - share) / variance if variance > 0 else examples
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
