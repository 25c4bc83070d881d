"""A two-way random-effects logistic model of the answered cells, and draws of what the others would have shown.

The log odds that prompt i gets example j right are a mean, plus the traits of the prompt, plus an effect of the
prompt, plus an effect of the prompt on the examples of a group (those of one label), plus an effect of the
example. All effects are normal around 0. The effects have a Laplace approximation given their standard deviations.
The standard deviations are drawn by a Metropolis chain on the Laplace approximation of their posterior: a single
best value, as in empirical Bayes, would make the intervals too narrow (Rue, Martino and Chopin 2009 integrate over
them too). The centre of the approximation is then moved from the mode to where the expected gradient is 0, as in a
Gaussian variational approximation: draws around the mode would move all probabilities towards a half where there
are few answers per example.

Scores between 0 and 1 have the same mean (a fractional logit, Papke and Wooldridge 1996) and a dispersion, which
is 1 where every score is 0 or 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg, optimize, special

MEAN_STD = 3.0
"""Prior standard deviation of the mean log odds."""
GROUP_STD = 1.0
"""Prior standard deviation of the difference of a group's examples from the mean, in log odds."""
PRIOR_SCALES = {"prompt": 0.7, "example": 1.5, "traits": 0.4, "prompt x group": 0.5}
"""Scales of the half-normal priors of the standard deviations, in log odds."""
SMALLEST_STD = 0.02
CHAIN, KEEP_EVERY = 160, 4
"""Steps of the chain over the standard deviations, and every which of them draws grids."""
STEP = 0.4
"""Size of a step of the chain, on the logarithms of the standard deviations."""
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
"""Nodes and weights of an expectation over a normal distribution."""
DISPERSION_FITS = 4
CORRECTIONS = 6
"""Steps from the mode to the centre."""
WIDEST = 600
"""With more prompts times groups, the effect of a prompt on a group is left out: its matrix would be too large."""


@dataclass
class Mode:
    """The most likely effects under some standard deviations, with their Laplace approximation.

    Attributes:
        theta: ``(groups, prompts)``, everything of the log odds but the effects of the examples.
        examples: effects of the examples.
        factor: Cholesky factor of the precision of ``theta``, the examples integrated out.
        cross: ``(prompts, examples)``, the weights of the cells.
        precision: of the effect of each example, given ``theta``.
        inverse: precision of ``theta`` before any cell is answered.
        log_marginal: log of the marginal likelihood of the answered cells.
    """

    theta: np.ndarray
    examples: np.ndarray
    factor: np.ndarray = field(repr=False)
    cross: np.ndarray = field(repr=False)
    precision: np.ndarray = field(repr=False)
    inverse: np.ndarray = field(repr=False)
    log_marginal: float = 0.0


class RandomEffects:
    """The model of one grid.

    Args:
        scores: ``(prompts, examples)``, from 0 to 1; NaN where a cell was not answered.
        traits: ``(prompts, traits)``, or None.
        groups: the group of each example, from 0 on, or None.
    """

    def __init__(self, scores: np.ndarray, traits: np.ndarray | None = None, groups: np.ndarray | None = None):
        self.answered = ~np.isnan(scores)
        self.scores = np.where(self.answered, scores, 0.0)
        self._rows, self._columns = np.nonzero(self.answered)
        self._values = scores[self.answered]
        prompts, examples = scores.shape
        of = np.zeros(examples, dtype=int) if groups is None else groups
        self.groups = of if prompts * (of.max() + 1) <= WIDEST else np.zeros(examples, dtype=int)
        self.members = [np.flatnonzero(self.groups == g) for g in range(self.groups.max() + 1)]
        self.kernels = {"prompt": np.eye(prompts)}
        if traits is not None and traits.size:
            self.kernels["traits"] = traits @ traits.T
        self.names = ["example", *self.kernels, *(["prompt x group"] if len(self.members) > 1 else [])]
        self.dispersion = 1.0
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def _prior(self, std: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the precision of ``theta`` before any cell is answered, and the log determinant of its inverse.

        A part of the covariance is shared by all groups, and each has the same one of its own. So the mean over
        groups and the differences between them are independent, and only matrices over prompts are inverted.

        Args:
            std: standard deviations of ``names`` but that of the examples.
        """
        count, prompts = len(self.members), len(self.scores)
        every, unit = np.ones((prompts, prompts)), np.eye(prompts)
        shared = MEAN_STD**2 * every + sum(s**2 * k for s, k in zip(std, self.kernels.values(), strict=False))
        own = 1e-6 * unit
        if count > 1:
            own = own + GROUP_STD**2 * every + std[-1] ** 2 * unit
        blocks = [count * shared + own, own]
        of_mean, of_differences = (linalg.inv(block) for block in blocks)
        log_dets = [np.linalg.slogdet(block)[1] for block in blocks]
        mean = np.full((count, count), 1 / count)
        precision = np.kron(mean, of_mean) + np.kron(np.eye(count) - mean, of_differences)
        return precision, float(log_dets[0] + (count - 1) * log_dets[1])

    def grids(self, draws: int, seed: int) -> Iterator[np.ndarray]:
        """Yield complete grids ``(prompts, examples)``: answered cells as they are, the others drawn."""
        rng = np.random.default_rng(seed)
        if not self._is_binary:
            self.dispersion = self._measured_dispersion()
        states = CHAIN // KEEP_EVERY
        for number, (mode, std) in enumerate(self._chain(rng)):
            centre = self._centre(mode, std[0])
            for _ in range(draws * (number + 1) // states - draws * number // states):
                yield self._completed(centre, rng)

    @property
    def _is_binary(self) -> bool:
        return bool(np.isin(self._values, (0, 1)).all())

    def _measured_dispersion(self) -> float:
        """Return the variance of the scores relative to that of 0 and 1 with the same mean (Pearson)."""
        for _ in range(DISPERSION_FITS):  # the effects are shrunk less, the smaller it is
            mode, _ = self._best()
            chance = special.expit(self._answered_log_odds(mode.theta, mode.examples))
            squares = (self._values - chance) ** 2 / (chance * (1 - chance))
            fitted = float(mode.cross[self._rows, self._columns] @ self._variances(mode))  # effective parameters
            self.dispersion = float(np.clip(squares.sum() / max(len(squares) - fitted, 1), 0.02, 1.0))
        return self.dispersion

    def _completed(self, mode: Mode, rng: np.random.Generator) -> np.ndarray:
        """Return the grid with every cell that was not answered drawn."""
        chance = special.expit(self._log_odds(*self._drawn(mode, rng)))
        if self.dispersion < 1:
            precision = 1 / self.dispersion - 1
            clipped = np.clip(chance, 1e-6, 1 - 1e-6)
            values = rng.beta(clipped * precision, (1 - clipped) * precision)
        else:
            values = rng.random(chance.shape) < chance
        return np.where(self.answered, self.scores, values)

    def _drawn(self, mode: Mode, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw all effects from the Laplace approximation."""
        noise = linalg.solve_triangular(mode.factor, rng.standard_normal(mode.theta.size), trans="T", lower=True)
        moved = noise.reshape(mode.theta.shape)
        along = (mode.cross * moved[self.groups].T).sum(axis=0)
        examples = mode.examples - along / mode.precision
        return mode.theta + moved, examples + rng.standard_normal(len(examples)) / np.sqrt(mode.precision)

    def _log_odds(self, theta: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return the log odds of all cells, ``(prompts, examples)``."""
        return theta[self.groups].T + examples

    def _answered_log_odds(self, theta: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return the log odds of the answered cells, one after the other."""
        return theta[self.groups[self._columns], self._rows] + examples[self._columns]

    def _chain(self, rng: np.random.Generator) -> Iterator[tuple[Mode, np.ndarray]]:
        """Yield modes under standard deviations drawn from their posterior."""
        mode, logs = self._best()
        density = self._density(mode, logs)
        for step in range(1, CHAIN + 1):
            proposed = logs + STEP * rng.standard_normal(len(logs))
            other = self.mode(np.exp(proposed))
            proposed_density = self._density(other, proposed)
            if np.log(rng.random()) < proposed_density - density:
                mode, logs, density = other, proposed, proposed_density
            if step % KEEP_EVERY == 0:
                yield mode, np.exp(logs)

    def _best(self) -> tuple[Mode, np.ndarray]:
        """Return the most likely logarithms of the standard deviations, and the effects under them."""
        start = np.log([0.5 * PRIOR_SCALES[name] for name in self.names])
        found = optimize.minimize(
            lambda logs: -self._density(self.mode(np.exp(logs)), logs),
            start,
            method="Nelder-Mead",
            options={
                "initial_simplex": start + 0.7 * np.vstack([np.zeros(len(start)), np.eye(len(start))]),
                "maxfev": 30 * len(start),
                "xatol": 0.1,
                "fatol": 0.05,
            },
        )
        return self.mode(np.exp(found.x)), found.x

    def _density(self, mode: Mode, logs: np.ndarray) -> float:
        """Return the log posterior density of the logarithms of the standard deviations, up to a constant."""
        scales = np.array([PRIOR_SCALES[name] for name in self.names])
        return mode.log_marginal - 0.5 * float(((np.exp(logs) / scales) ** 2).sum()) + float(logs.sum())

    def mode(self, std: np.ndarray) -> Mode:
        """Return the most likely effects under the standard deviations of ``names``."""
        std = np.maximum(std, SMALLEST_STD)
        of_example = std[0]
        inverse, log_det_prior = self._prior(std[1:])
        shape = len(self.members), len(self.scores)
        theta, examples = self._last or (np.zeros(shape), np.zeros(self.scores.shape[1]))
        value = self._log_posterior(theta, examples, inverse, of_example)
        for _ in range(50):
            chance = special.expit(self._answered_log_odds(theta, examples))
            weights = chance * (1 - chance) / self.dispersion
            cross = np.zeros(self.scores.shape)
            cross[self._rows, self._columns] = weights
            precision = cross.sum(axis=0) + of_example**-2
            factor = linalg.cholesky(inverse + self._information(cross, precision), lower=True)
            mode = Mode(theta, examples, factor, cross, precision, inverse)
            step, example_step = self._step(mode, of_example, chance)
            size = 1.0
            while size > 1e-3:
                moved = theta + size * step, examples + size * example_step
                new = self._log_posterior(*moved, inverse, of_example)
                if new >= value - 1e-9:
                    break
                size /= 2
            (theta, examples), gain, value = moved, new - value, new
            if gain < 1e-3:
                break
        self._last = theta, examples
        log_det = 2 * np.log(np.diag(factor)).sum() + np.log(precision).sum()
        log_det += log_det_prior + 2 * len(examples) * np.log(of_example)
        return replace(mode, theta=theta, examples=examples, log_marginal=float(value - 0.5 * log_det))

    def _step(self, mode: Mode, of_example: float, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the Newton step of ``theta`` and of the examples.

        Args:
            chance: the probability that each answered cell is right, at the mode or expected.
        """
        count = len(mode.examples)
        rest, weights = (self._values - chance) / self.dispersion, mode.cross[self._rows, self._columns]
        of_examples = np.bincount(self._columns, rest, count) - mode.examples / of_example**2
        left = rest - weights * (of_examples / mode.precision)[self._columns]
        gradient = self._by_group(left) - mode.inverse @ mode.theta.ravel()
        step = linalg.cho_solve((mode.factor, True), gradient).reshape(mode.theta.shape)
        along = weights * step[self.groups[self._columns], self._rows]
        return step, (of_examples - np.bincount(self._columns, along, count)) / mode.precision

    def _centre(self, mode: Mode, of_example: float) -> Mode:
        """Return the approximation moved to where the expected gradient is 0."""
        spread = np.sqrt(self._variances(mode))
        for _ in range(CORRECTIONS):
            log_odds = self._answered_log_odds(mode.theta, mode.examples)
            chance = special.expit(log_odds[:, None] + spread[:, None] * NODES) @ NODE_WEIGHTS / NODE_WEIGHTS.sum()
            step, example_step = self._step(mode, of_example, chance)
            mode = replace(mode, theta=mode.theta + step, examples=mode.examples + example_step)
        return mode

    def _variances(self, mode: Mode) -> np.ndarray:
        """Return the variance of the log odds of each answered cell."""
        prompts = len(self.scores)
        covariance = linalg.cho_solve((mode.factor, True), np.eye(len(mode.factor)))
        variances = np.zeros(self.scores.shape)
        for group, members in enumerate(self.members):
            of = slice(group * prompts, (group + 1) * prompts)
            block, along = covariance[of, of], mode.cross[:, members] / mode.precision[members]
            moved = block @ along
            of_examples = 1 / mode.precision[members] + (along * moved).sum(axis=0)
            variances[:, members] = np.diag(block)[:, None] + of_examples - 2 * moved
        return variances[self._rows, self._columns]

    def _log_posterior(self, theta: np.ndarray, examples: np.ndarray, inverse: np.ndarray, std: float) -> float:
        log_odds = self._answered_log_odds(theta, examples)
        likelihood = self._values @ log_odds - np.logaddexp(0, log_odds).sum()
        prior = theta.ravel() @ inverse @ theta.ravel() + (examples**2).sum() / std**2
        return float(likelihood / self.dispersion - 0.5 * prior)

    def _by_group(self, cells: np.ndarray) -> np.ndarray:
        """Return the sums of values of the answered cells in the order of ``theta.ravel()``."""
        prompts = len(self.scores)
        places = self.groups[self._columns] * prompts + self._rows
        return np.bincount(places, cells, len(self.members) * prompts)

    def _information(self, cross: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Return what the cells add to the precision of ``theta``, the effects of the examples integrated out."""
        blocks = []
        for members in self.members:
            weights = cross[:, members]
            blocks.append(np.diag(weights.sum(axis=1)) - (weights / precision[members]) @ weights.T)
        return linalg.block_diag(*blocks)
