"""Metrics over the grid of prompts and examples (section 4.1 of the paper), with 95 % intervals."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paft.evaluation.consistency import consistency
from paft.evaluation.intervals import (
    Interval,
    bootstrap,
    interval,
    mean_interval,
    sample_std,
    share_interval,
    std_interval,
)
from paft.evaluation.two_way import layout, quantile_05, worst_of_20


@dataclass(frozen=True)
class Summary:
    """The metrics of a grid. Scores and shares are fractions of 1; std is the sample standard deviation.

    The score of a prompt is its mean score over the examples: its accuracy, where every score is 0 or 1.

    Attributes:
        mean, std, worst, best: of the prompts' scores. ``std`` is None for a single prompt.
        std_interval, std_noise_free_interval: None too where all prompts have the same score: however few the
            examples, their intervals would be [0, 0].
        top: share of the prompts whose score reaches the threshold of the task.
        disagreement: mean absolute difference of an example's score between two prompts, over all pairs of prompts
            and all examples; None for a single prompt. Where scores are 0 or 1, it is how often one of the two
            prompts gets the example right and the other does not.
        right_under_all: mean over the examples of the lowest score under any prompt. Where scores are 0 or 1, it
            is the share of the examples that are right under every prompt. None where not all cells were answered.
        std_noise_free: the standard deviation of the prompts' scores without the noise of a finite number of
            examples; None for a single prompt or example.
        quantile_05: the 5 % quantile of the prompts' scores, also without that noise; None where that is.
        worst_of_20: the expected lowest score among 20 of the prompts; None for a single prompt.
        consistency: how often two prompts get the same answer, right or wrong; None for a single prompt, or where
            the answers are not known.
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
    right_under_all: float | None
    mean_interval: Interval
    std_interval: Interval | None
    top_interval: Interval
    right_under_all_interval: Interval | None
    per_prompt: tuple[float, ...]
    std_noise_free: float | None
    std_noise_free_interval: Interval | None
    quantile_05: float | None
    quantile_05_interval: Interval | None
    worst_of_20: float | None
    worst_of_20_interval: Interval | None
    consistency: float | None
    consistency_interval: Interval | None


def summarise(
    scores: np.ndarray, top: float, *, is_binary: bool, answers: np.ndarray | None = None, seed: int = 0
) -> Summary:
    """Return the metrics of a grid.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1.
        top: the score from which on a prompt counts for the Top figure.
        is_binary: whether every score is 0 or 1. If so, ``right_under_all`` is a share and has Wilson's interval;
            if not, it has a bootstrap interval over the examples (its coverage: tests/evaluation/test_metrics.py).
        answers: ``(prompts, examples)``, as for :func:`paft.evaluation.consistency.consistency`.
    """
    scores = scores.astype(float)
    prompts, examples = scores.shape
    per_prompt, lowest = scores.mean(axis=1), scores.min(axis=0)
    top_prompts = int((per_prompt >= top - 1e-12).sum())
    if is_binary:
        lowest_interval = share_interval(int(lowest.sum()), examples)
    else:
        lowest_interval = interval(bootstrap(lowest[None], seed))
    of_mean = mean_interval(scores, seed)
    grid = layout(scores)
    quantile = grid and quantile_05(grid, of_mean)
    worst = grid and worst_of_20(grid, of_mean)
    same = None if answers is None else consistency(answers)
    differ = grid is not None and grid.between > 0
    return Summary(
        mean=float(per_prompt.mean()),
        std=sample_std(per_prompt) if differ or prompts < 2 else 0.0,
        top=top_prompts / prompts,
        worst=float(per_prompt.min()),
        best=float(per_prompt.max()),
        prompts=prompts,
        examples=examples,
        disagreement=_disagreement(scores),
        right_under_all=float(lowest.mean()),
        mean_interval=of_mean,
        std_interval=std_interval(per_prompt) if differ else None,
        top_interval=share_interval(top_prompts, prompts),
        right_under_all_interval=lowest_interval,
        per_prompt=tuple(float(score) for score in per_prompt),
        std_noise_free=grid.std_noise_free if grid else None,
        std_noise_free_interval=grid.std_noise_free_interval() if grid and differ else None,
        quantile_05=quantile[0] if quantile else None,
        quantile_05_interval=quantile[1] if quantile else None,
        worst_of_20=worst[0] if worst else None,
        worst_of_20_interval=worst[1] if worst else None,
        consistency=same[0] if same else None,
        consistency_interval=same[1] if same else None,
    )


def majority(targets: Sequence[Collection[str]]) -> float:
    """Return the best accuracy of an answer that is always the same.

    Args:
        targets: the accepted answers of each example.
    """
    return max(Counter(answer for accepted in targets for answer in set(accepted)).values()) / len(targets)


def score_per_label(scores: np.ndarray, targets: Sequence[str]) -> dict[str, float]:
    """Return the mean score on the examples of each target, in the order of the targets.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1; NaN where a cell was not answered. A target without an
            answered cell is left out.
        targets: of each example.
    """
    labels, answered = np.asarray(targets, dtype=object), ~np.isnan(scores)
    by_label = {label: answered & (labels == label) for label in dict.fromkeys(targets)}
    return {label: float(scores[cells].mean()) for label, cells in by_label.items() if cells.any()}


def balanced_accuracy(per_label: Mapping[str, float]) -> float:
    """Return the mean of the scores of :func:`score_per_label`.

    An answer that is always the same gets 1 / number of targets, however often its target occurs.
    """
    return float(np.mean(list(per_label.values())))


def _disagreement(scores: np.ndarray) -> float | None:
    prompts = len(scores)
    if prompts < 2:
        return None
    # In ascending order, a score is subtracted from those above it and has those below it subtracted from it.
    weights = 2 * np.arange(prompts) - (prompts - 1)
    differences = (weights[:, None] * np.sort(scores, axis=0)).sum(axis=0)
    return float(differences.mean() / (prompts * (prompts - 1) / 2))
