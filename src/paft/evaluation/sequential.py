"""Sequential tests of a figure of a grid, which stop as soon as the answer is clear.

What is tested: the prompts and the examples are given, and the figure is the one that the whole grid of them has,
as ``paft evaluate`` would report it. The only thing that is random is the order in which the cells are asked. So
cells that share a prompt or an example may depend on each other in any way, and once every cell is asked the
figure is known and no test is needed. Nothing is claimed about other prompts or examples.

Two errors are limited to :data:`ALPHA` each: that a figure which reaches the threshold falls short, and that one
which does not passes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from paft.evaluation.intervals import Interval
from paft.evaluation.metrics import summarise
from paft.evaluation.tail import Tail, quantile_05_from_options, sparse_quantile_05

if TYPE_CHECKING:  # imports scipy
    from paft.evaluation.option_effects import OptionScores

ALPHA = 0.05
"""The probability of each of the two errors, over all looks together."""
STAKES = np.geomspace(0.01, 0.9, 14)
"""The bets that the tests mix, as shares of the largest bet that cannot lose everything."""
MOST = 700.0
"""The largest logarithm of evidence; that of a floating-point number is 709."""
STEPS = 0.5 ** np.arange(1, 11)
"""Steps of the search for the ends of an interval."""
LOOKS = 5
"""How often the test of the 5 % quantile looks at the scores."""
BATCH = 48
"""Questions between two looks of the other tests, about: whole rounds of all prompts."""
LEAST_ROUNDS = 8
"""Rounds of questions that a test requires: each prompt is asked about so many examples at least."""

Verdict = Literal["passed", "fell short", "undecided"]


@dataclass(frozen=True)
class GridSample:
    """The cells that are asked, in rounds that hold each prompt once.

    Attributes:
        scores: ``(rounds, prompts)``, from 0 to 1.
        examples: ``(rounds, prompts)``, the index of the example that each prompt was asked about.
        of: the number of examples in the grid.
        options: of the whole grid, with the log-likelihoods of the asked cells at least; None where options were
            not scored.
    """

    scores: np.ndarray
    examples: np.ndarray
    of: int
    options: "OptionScores | None" = None

    @property
    def is_complete(self) -> bool:
        """Whether every cell of the grid is asked."""
        return len(self.scores) == self.of

    def grid(self) -> np.ndarray:
        """Return the scores as ``(prompts, examples)``; NaN where a cell is not asked."""
        rounds, prompts = self.scores.shape
        grid = np.full((prompts, self.of), np.nan)
        grid[np.tile(np.arange(prompts), rounds), self.examples.ravel()] = self.scores.ravel()
        return grid

    def first(self, rounds: int) -> "GridSample":
        """Return the cells of the first rounds."""
        return replace(self, scores=self.scores[:rounds], examples=self.examples[:rounds])


@dataclass(frozen=True)
class Decision:
    """What a test says.

    Attributes:
        estimate: of the figure, from the cells that are asked.
        interval: each end is wrong with a probability of at most :data:`ALPHA`; None where the figure is known, or
            the test goes on or has no interval.
        is_exact: every cell of the grid is asked, so ``estimate`` is the figure itself.
    """

    verdict: Verdict
    estimate: float
    interval: Interval | None
    is_exact: bool


def balanced_order(prompts: int, examples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield rounds in which each prompt gets an example that it has not had: ``(prompts,)`` indices.

    The prompts take their turns in a random order, and each takes one of the examples that were asked least often,
    at random (PromptEval's order, arXiv 2405.17202).
    """
    rng = np.random.default_rng(seed)
    is_asked = np.zeros((prompts, examples), dtype=bool)
    counts = np.zeros(examples, dtype=int)
    for _ in range(examples):
        chosen = np.empty(prompts, dtype=int)
        for prompt in rng.permutation(prompts):
            left = np.flatnonzero(~is_asked[prompt])
            least = left[counts[left] == counts[left].min()]
            chosen[prompt] = example = rng.choice(least)
            is_asked[prompt, example] = True
            counts[example] += 1
        yield chosen


def evidence_below(scores: np.ndarray, bound: float, of: int) -> float:
    """Return the evidence against a mean of at least ``bound``: an e-value, so >= 20 has a probability <= 5 %.

    A bettor starts with 1 and bets on each cell that its score is lower than the mean which the cells that are
    left must have if the hypothesis is true; the evidence is what the bets have made of it. The bets are those of
    "Estimating means of bounded random variables by betting", for sampling without replacement (Waudby-Smith and
    Ramdas 2024, doi:10.1093/jrsssb/qkad009), mixed over :data:`STAKES`.

    Within a round the bet is the same for all prompts. If the prompts' expected scores differ and their mean is
    ``bound``, the expected product of the round is at most 1 by the inequality of the arithmetic and the geometric
    mean. So this tests the mean over prompts although no prompt has that mean. The proof takes the examples of a
    round to be drawn independently; :func:`balanced_order` draws them without repeats, which makes the mean of a
    round vary less. The false alarms are measured on stored grids (``benchmarks/gate.py``).

    Args:
        scores: ``(rounds, prompts)``, from 0 to 1.
        of: the rounds until every cell of the grid is asked.
    """
    rounds, prompts = scores.shape
    before = np.concatenate([[0.0], np.cumsum(scores.sum(axis=1))[:-1]])
    left = prompts * (of - np.arange(rounds))
    means = (of * prompts * bound - before) / left
    if means.max(initial=0) > 1 + 1e-9:
        return float("inf")  # even if all the rest were right, the mean would be lower
    means = np.clip(means, 0, 1 - 1e-6)
    bets = STAKES[:, None] / (1 - means)
    gains = np.log1p(bets[..., None] * (means[:, None] - scores)).sum(axis=(1, 2))
    return float(np.exp(np.minimum(gains, MOST)).mean())


def evidence_above(scores: np.ndarray, bound: float, of: int) -> float:
    """Return the evidence against a mean of at most ``bound``; see :func:`evidence_below`."""
    return evidence_below(1 - scores, 1 - bound, of)


class SequentialTest(Protocol):
    """Tests whether a figure of the whole grid reaches a threshold."""

    @property
    def threshold(self) -> float:
        """What the figure must reach."""

    def looks(self, prompts: int, rounds: int) -> list[int]:
        """Return after which rounds to call :meth:`decide`, in order; the last one is ``rounds``, the most."""

    def decide(self, sample: GridSample, rounds: int) -> Decision:
        """Return what the cells say; ``rounds`` is the most that will be asked."""


@dataclass(frozen=True)
class MeanTest:
    """Tests the mean score over prompts and examples; it may look as often as it likes."""

    threshold: float

    def looks(self, prompts: int, rounds: int) -> list[int]:
        """Return after which rounds to look: every :data:`BATCH` questions, about."""
        return _every_batch(prompts, rounds)

    def decide(self, sample: GridSample, rounds: int) -> Decision:
        """Return what the cells say; ``rounds`` is the most that will be asked."""
        estimate = float(sample.scores.mean())
        if sample.is_complete:
            return _exact(estimate, self.threshold)
        below, above = (
            evidence(sample.scores, self.threshold, sample.of) for evidence in (evidence_below, evidence_above)
        )
        verdict = _verdict(below, above)
        is_end = verdict != "undecided" or len(sample.scores) == rounds
        return Decision(verdict, estimate, self._interval(sample) if is_end else None, is_exact=False)

    def _interval(self, sample: GridSample) -> Interval:
        """Return the means that the cells do not exclude: the further off, the more evidence against them."""
        low = high = float(sample.scores.mean())
        for step in STEPS:
            if low - step >= 0 and evidence_above(sample.scores, low - step, sample.of) < 1 / ALPHA:
                low -= step
            if high + step <= 1 and evidence_below(sample.scores, high + step, sample.of) < 1 / ALPHA:
                high += step
        return Interval(low, high)


@dataclass(frozen=True)
class WorstTest:
    """Tests whether every prompt has a mean score of at least the threshold; it may look as often as it likes.

    The grid falls short if the mean over prompts does, or a single prompt: the evidence is half that of
    :func:`evidence_below` for all prompts and half the mean of that for each, which is an e-value too. It passes
    once each prompt by itself is shown to reach the threshold, which takes many questions.
    """

    threshold: float

    def looks(self, prompts: int, rounds: int) -> list[int]:
        """Return after which rounds to look: every :data:`BATCH` questions, about."""
        return _every_batch(prompts, rounds)

    def decide(self, sample: GridSample, rounds: int) -> Decision:
        """Return what the cells say; ``rounds`` is the most that will be asked."""
        estimate = float(sample.scores.mean(axis=0).min())
        if sample.is_complete:
            return _exact(estimate, self.threshold)
        each = [sample.scores[:, [prompt]] for prompt in range(sample.scores.shape[1])]
        below = np.mean([evidence_below(scores, self.threshold, sample.of) for scores in each])
        below = (below + evidence_below(sample.scores, self.threshold, sample.of)) / 2
        above = min(evidence_above(scores, self.threshold, sample.of) for scores in each)
        return Decision(_verdict(float(below), above), estimate, None, is_exact=False)


@dataclass(frozen=True)
class QuantileTest:
    """Tests the 5 % quantile over prompts, as ``paft evaluate`` reports it, at :data:`LOOKS` planned looks.

    The bounds are those of :mod:`paft.evaluation.tail`. Their level at look k is ALPHA * (t(k)² - t(k-1)²), where
    t is the share of the questions that are asked: the errors of all looks add up to at most ALPHA (alpha
    spending: Lan and DeMets 1983, doi:10.1093/biomet/70.3.659; Kim and DeMets 1987).
    """

    threshold: float

    def looks(self, prompts: int, rounds: int) -> list[int]:
        """Return after which rounds to look: evenly spaced, the first with two rounds at least."""
        least = max(2, min(LEAST_ROUNDS, rounds) // 2)
        return sorted({min(rounds, max(least, round(rounds * k / LOOKS))) for k in range(1, LOOKS + 1)})

    def decide(self, sample: GridSample, rounds: int) -> Decision:
        """Return what the cells say after one of the :meth:`looks`; ``rounds`` is the most that will be asked."""
        if (
            sample.is_complete
            and (figure := summarise(sample.grid(), 1.0, is_binary=False).quantile_05) is not None
        ):
            return _exact(figure, self.threshold)
        tail = self.bounds(sample, rounds)
        is_below, is_above = tail.high < self.threshold, tail.low >= self.threshold
        verdict: Verdict = "fell short" if is_below else "passed" if is_above else "undecided"
        return Decision(verdict, tail.value, Interval(tail.low, tail.high), is_exact=False)

    def bounds(self, sample: GridSample, rounds: int) -> Tail:
        """Return the estimate after one of the :meth:`looks`, with bounds; no threshold changes them."""
        grid, look = sample.grid(), len(sample.scores)
        before = max((other for other in self.looks(grid.shape[0], rounds) if other < look), default=0)
        level = ALPHA * (look**2 - before**2) / rounds**2
        if sample.options is not None and sample.options.suffice(~np.isnan(grid)):
            return quantile_05_from_options(grid, sample.options, level)
        return sparse_quantile_05(grid, level)


def _every_batch(prompts: int, rounds: int) -> list[int]:
    step = max(1, BATCH // prompts)
    return [*range(step, rounds, step), rounds]


TESTS: dict[str, Callable[[float], SequentialTest]] = {
    "mean": MeanTest,
    "quantile_05": QuantileTest,
    "worst": WorstTest,
}
"""The figures that can be tested from some of the cells."""


def _exact(figure: float, threshold: float) -> Decision:
    verdict: Verdict = "passed" if figure >= threshold - 1e-9 else "fell short"
    return Decision(verdict, figure, None, is_exact=True)


def _verdict(below: float, above: float) -> Verdict:
    if below >= 1 / ALPHA:
        return "fell short"
    return "passed" if above >= 1 / ALPHA else "undecided"
