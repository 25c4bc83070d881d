"""A two-way random-effects model of the options' log-likelihoods, and draws of what other cells would have shown.

A cell whose options were scored says more than whether it is right: how far each option is ahead of the others.
The log-likelihoods of a cell, as contrasts between the options and relative to their spread under the prompt, are
an effect of the prompt, plus an effect of the example times a slope of the prompt, plus an effect of the prompt on
the examples of which the same option is right, plus a rest:

    y(p, e) = a(p) + c(p) * b(e) + d(p, g(e)) + r(p, e)

All are normal, with full covariances between the contrasts. The effects of the examples have a mean for each group
g; the variance of r has a factor for each prompt, since a model may handle some prompts in another way than the
rest. All are drawn by Gibbs sampling, a and b jointly, which keeps it from mixing slowly (Papaspiliopoulos,
Roberts and Zanella 2020, doi:10.1093/biomet/asz058). A cell that was not answered is right if a right option has
the highest of the drawn log-likelihoods. A few cells may be answered in a way that the model knows nothing of:
their share is drawn from what n cells without one leave possible, Beta(1, n), and they are right as often as the
answered ones, or as often as a guess if these are all right or all wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

MEAN_STD = 3.0
"""Prior standard deviation of the mean contrasts of a group."""
SLOPE_STD = 0.2
"""Prior guess of the standard deviation of the slopes around 1."""
FREEDOM = 4.0
"""Degrees of freedom of the priors of the prompts' factors of the variance, and of the variance of the slopes."""
PRIOR_SQUARES = 0.1
"""Sum of squares that the priors of the covariances add to each contrast."""
SHARED_CELLS = 2.0
"""The spread under a prompt is shrunk towards that of all prompts as if these were so many more of its cells."""
FIRST_SWEEPS = 60
"""Sweeps before the first draw."""
WIDEST = 600
"""The largest number of prompts and groups times contrasts: the size of a matrix that every sweep factorises."""


@dataclass(frozen=True)
class OptionScores:
    """The log-likelihoods of the options, and which of them are right.

    Attributes:
        likelihoods: ``(prompts, examples, options)``; anything where a cell was not answered.
        right: ``(examples, options)``, True for the right ones.
    """

    likelihoods: np.ndarray
    right: np.ndarray

    def suffice(self, answered: np.ndarray) -> bool:
        """Return True if the model can be fitted to the answered cells, ``(prompts, examples)``.

        It needs the spread of the log-likelihoods over the examples of a prompt, so more cells than prompts.
        """
        groups, options = len(np.unique(self.right, axis=0)), self.right.shape[1]
        is_small = (len(answered) + groups) * (options - 1) <= WIDEST
        has_spread = answered.sum() > len(answered)
        return options > 1 and is_small and has_spread and bool(np.isfinite(self.likelihoods[answered]).all())


@dataclass
class _State:
    """One draw of everything that is not known.

    Attributes:
        prompts: ``(prompts, contrasts)``.
        examples: ``(examples, contrasts)``, with the mean of their group.
        means: ``(groups, contrasts)``.
        slopes: of the prompts.
        slope_std: their standard deviation around 1.
        interactions: ``(prompts, groups, contrasts)``.
        weights: of the prompts: the inverse of their factor of the variance.
        of_prompt, of_example, of_interaction, of_rest: covariances of the contrasts.
    """

    prompts: np.ndarray
    examples: np.ndarray
    means: np.ndarray
    slopes: np.ndarray
    interactions: np.ndarray
    weights: np.ndarray
    of_prompt: np.ndarray
    of_example: np.ndarray
    of_interaction: np.ndarray
    of_rest: np.ndarray
    slope_std: float = SLOPE_STD


class OptionEffects:
    """The model of one grid.

    Args:
        scores: ``(prompts, examples)``, 0 or 1; NaN where a cell was not answered.
        options: of the same cells.
    """

    def __init__(self, scores: np.ndarray, options: OptionScores):
        self.answered, self.right = ~np.isnan(scores), options.right
        self.scores = np.where(self.answered, scores, 0.0)
        self._rows, self._columns = np.nonzero(self.answered)
        self._basis = linalg.helmert(self.right.shape[1])  # (contrasts, options), orthonormal
        self._groups = np.unique(self.right, axis=0, return_inverse=True)[1].ravel()
        self._members = np.eye(self._groups.max() + 1)[self._groups].T  # (groups, examples)
        prompts, examples = scores.shape
        pairs = self._rows * len(self._members) + self._groups[self._columns]
        self._by_prompt, self._by_example = _sums_by(self._rows, prompts), _sums_by(self._columns, examples)
        self._by_pair = _sums_by(pairs, prompts * len(self._members))
        contrasts = options.likelihoods[self.answered] @ self._basis.T
        self._values = contrasts / self._spread(contrasts)[self._rows, None]  # (answered cells, contrasts)

    def _spread(self, contrasts: np.ndarray) -> np.ndarray:
        """Return how far the contrasts spread over the answered examples of each prompt."""
        freedom = self.answered.sum(axis=1) - 1
        means = self._by_prompt @ contrasts / (freedom + 1)[:, None]
        squares = (self._by_prompt @ (contrasts - means[self._rows]) ** 2).mean(axis=1)
        shared = SHARED_CELLS * squares.sum() / max(1, freedom.sum())
        spread: np.ndarray = np.sqrt((squares + shared) / (freedom + SHARED_CELLS) + 1e-12)
        return spread

    def grids(self, draws: int, seed: int) -> Iterator[np.ndarray]:
        """Yield complete grids ``(prompts, examples)``: answered cells as they are, the others drawn."""
        rng = np.random.default_rng(seed)
        state = self._start()
        for sweep in range(FIRST_SWEEPS + draws):
            self._draw_effects(state, rng)
            self._draw_slopes(state, rng)
            self._draw_interactions(state, rng)
            self._draw_variances(state, rng)
            if sweep >= FIRST_SWEEPS:
                yield self._completed(state, rng)

    def _start(self) -> _State:
        (prompts, examples), size = self.scores.shape, self._values.shape[1]
        groups, unit = len(self._members), np.eye(size)
        return _State(
            prompts=np.zeros((prompts, size)),
            examples=np.zeros((examples, size)),
            means=np.zeros((groups, size)),
            slopes=np.ones(prompts),
            interactions=np.zeros((prompts, groups, size)),
            weights=np.ones(prompts),
            of_prompt=0.3 * unit,
            of_example=0.5 * unit,
            of_interaction=0.05 * unit,
            of_rest=0.2 * unit,
        )

    def _draw_effects(self, state: _State, rng: np.random.Generator) -> None:
        """Draw the effects of prompts and examples and the means of the groups.

        In the basis in which the precisions of the rest and of the examples' effects are both diagonal, the
        contrasts of an example are independent given the rest. So its effect is integrated out, prompts and means
        are drawn jointly, and then the example's effect given these.
        """
        precision = linalg.inv(state.of_rest)
        of_examples, basis = linalg.eigh(linalg.inv(state.of_example), precision)
        values = self._without_interactions(state) @ precision @ basis
        prompts, size = state.prompts.shape
        weighted = state.weights[:, None] * self.answered
        sloped = state.slopes[:, None] * weighted
        total = state.slopes @ sloped  # of each example
        sums = self._by_example @ ((state.slopes * state.weights)[self._rows, None] * values)
        variances = 1 / (total[:, None] + of_examples)
        design = np.vstack([sloped, self._members * total])
        crossed = sloped @ self._members.T
        cells = np.block([[np.diag(weighted.sum(axis=1)), crossed], [crossed.T, np.diag(self._members @ total)]])
        is_prompt = np.arange(len(cells)) < prompts
        system = np.kron(basis.T @ linalg.inv(state.of_prompt) @ basis, np.diag(is_prompt * 1.0))
        system += np.kron(basis.T @ basis / MEAN_STD**2, np.diag(~is_prompt * 1.0))
        for k in range(size):
            block = slice(k * len(cells), (k + 1) * len(cells))
            system[block, block] += cells - (design * variances[:, k]) @ design.T
        right_side = np.vstack([state.weights[:, None] * (self._by_prompt @ values), self._members @ sums])
        drawn = _normal(system, (right_side - design @ (sums * variances)).T.ravel(), rng).reshape(size, -1).T
        means = drawn[prompts:][self._groups]
        centre = (sums - sloped.T @ drawn[:prompts] - total[:, None] * means) * variances
        examples = means + centre + rng.standard_normal(centre.shape) * np.sqrt(variances)
        state.prompts, state.means = drawn[:prompts] @ basis.T, drawn[prompts:] @ basis.T
        state.examples = examples @ basis.T

    def _without_interactions(self, state: _State) -> np.ndarray:
        return self._values - state.interactions[self._rows, self._groups[self._columns]]

    def _draw_slopes(self, state: _State, rng: np.random.Generator) -> None:
        weighted = state.examples @ linalg.inv(state.of_rest)
        left = self._without_interactions(state) - state.prompts[self._rows]
        squares = self.answered @ (weighted * state.examples).sum(axis=1)
        products = self._by_prompt @ (left * weighted[self._columns]).sum(axis=1)
        precision = state.weights * squares + state.slope_std**-2
        centre = (state.weights * products + state.slope_std**-2) / precision
        state.slopes = centre + rng.standard_normal(len(centre)) / np.sqrt(precision)
        around_1 = FREEDOM * SLOPE_STD**2 + ((state.slopes - 1) ** 2).sum()
        state.slope_std = float(np.sqrt(around_1 / rng.chisquare(FREEDOM + len(centre))))

    def _draw_interactions(self, state: _State, rng: np.random.Generator) -> None:
        precision = linalg.inv(state.of_rest)
        left = self._values - _main_effects(state, self._rows, self._columns)
        sums = (self._by_pair @ left @ precision).reshape(state.interactions.shape)
        counts = state.weights[:, None] * (self.answered @ self._members.T)
        each = counts[..., None, None] * precision + linalg.inv(state.of_interaction)
        centre = np.linalg.solve(each, state.weights[:, None, None, None] * sums[..., None])
        roots = np.linalg.cholesky(each)
        noise = np.linalg.solve(np.swapaxes(roots, -1, -2), rng.standard_normal(centre.shape))
        state.interactions = (centre + noise)[..., 0]

    def _draw_variances(self, state: _State, rng: np.random.Generator) -> None:
        """Draw the covariances, and the factors of the prompts given all others."""
        rest = self._without_interactions(state) - _main_effects(state, self._rows, self._columns)
        size = rest.shape[1]
        squares = self._by_prompt @ ((rest @ linalg.inv(state.of_rest)) * rest).sum(axis=1)
        freedom = FREEDOM + size * self.answered.sum(axis=1)
        state.weights = rng.chisquare(freedom) / (FREEDOM + squares)
        state.of_prompt = _covariance(state.prompts, rng)
        state.of_example = _covariance(state.examples - state.means[self._groups], rng)
        state.of_interaction = _covariance(state.interactions.reshape(-1, size), rng)
        state.of_rest = _covariance(np.sqrt(state.weights)[self._rows, None] * rest, rng)

    def _completed(self, state: _State, rng: np.random.Generator) -> np.ndarray:
        """Return the grid with every cell that was not answered drawn."""
        rows, columns = np.nonzero(~self.answered)
        noise = rng.standard_normal((len(rows), len(state.of_rest))) / np.sqrt(state.weights)[rows, None]
        drawn = _main_effects(state, rows, columns) + state.interactions[rows, self._groups[columns]]
        best = ((drawn + noise @ linalg.cholesky(state.of_rest)) @ self._basis).argmax(axis=1)
        answered = len(self._rows)
        is_other = rng.random(len(rows)) < rng.beta(1, answered)
        right = self.scores.sum()
        rate = (right + 0.5) / (answered + 1) if 0 < right < answered else self.right.mean()
        others = rng.random(len(rows)) < rate
        grid = self.scores.copy()
        grid[rows, columns] = np.where(is_other, others, self.right[columns, best])
        return grid


def _sums_by(of: np.ndarray, count: int) -> sparse.csr_array:
    """Return a matrix whose product with values is their sums by number, ``of`` that of each value."""
    return sparse.csr_array((np.ones(len(of)), (of, np.arange(len(of)))), shape=(count, len(of)))


def _main_effects(state: _State, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return state.prompts[rows] + state.slopes[rows, None] * state.examples[columns]


def _normal(precision: np.ndarray, right_side: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw from the normal distribution with this precision whose mean solves precision @ mean = right side."""
    factor = linalg.cholesky(precision, lower=True)
    mean: np.ndarray = linalg.cho_solve((factor, True), right_side)
    return mean + linalg.solve_triangular(factor, rng.standard_normal(mean.shape), trans="T", lower=True)


def _covariance(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the covariance of normal values around 0 from its posterior, an inverse Wishart distribution."""
    count, size = values.shape
    root = linalg.cholesky(values.T @ values + PRIOR_SQUARES * np.eye(size), lower=True)
    lower = np.tril(rng.standard_normal((size, size)), -1)  # Bartlett's decomposition
    lower[np.diag_indices(size)] = np.sqrt(rng.chisquare(count + size + 1 - np.arange(size)))
    half = linalg.solve_triangular(lower, root.T, lower=True)
    covariance: np.ndarray = half.T @ half
    return covariance
