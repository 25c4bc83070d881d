"""ZOPO: zeroth-order search over a finite set of prompts (arXiv 2403.02993), as its authors' code runs it.

A Gaussian process with the neural tangent kernel of a small network predicts, from the prompts evaluated so far,
in which direction of the embedding space accuracy rises; the search steps there and takes the nearest prompt.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

NEIGHBOURS = 20
"""Evaluated points that the surrogate is fitted on: those nearest to the current one."""
LOCAL = 10
"""Nearest points that local exploration evaluates, if they have not been evaluated."""
TOLERANCE = 2
"""Points in a row that may fail to beat the best, before the search goes back to it."""
UNCERTAIN = 0.01
"""Posterior variance above which a step is not trusted."""
PATIENCE = 5
"""Untrusted steps before local exploration."""
RATE, STEPS = 0.01, 2
"""Of Adam, and at most so many steps from one point; the second only where the first can be trusted."""


@dataclass(frozen=True)
class Trace:
    """The values of the points that a search evaluated, in the order of evaluation."""

    values: dict[int, float]

    @property
    def best(self) -> int:
        """Return the point with the highest value; of equals the first."""
        return max(self.values, key=self.values.__getitem__)


def zopo(
    objective: Callable[[int], float], points: torch.Tensor, *, budget: int = 165, initial: int = 40, seed: int = 0
) -> Trace:
    """Look for the point with the highest value.

    Args:
        objective: of a point's number, at most 1, where the search ends.
        points: ``(points, dimensions)`` embeddings.
        budget: how many points may be evaluated, the initial ones included; none is evaluated twice.
    """
    points = points.double()
    budget = min(budget, len(points))
    values: dict[int, float] = {}

    def evaluate(point: int) -> None:
        if len(values) < budget and max(values.values(), default=0.0) < 1.0:
            values[point] = objective(point)

    for point in random.Random(f"zopo:{seed}").sample(range(len(points)), min(initial, budget)):
        evaluate(point)
    kernel = NeuralTangentKernel(points.shape[1])
    current, misses, untrusted = Trace(values).best, 0, 0
    while len(values) < budget and values[Trace(values).best] < 1.0:
        surrogate = Surrogate.near(current, points, values, kernel)
        start = surrogate.scaled[current]
        target, trusted = surrogate.ascend(start)
        untrusted += not trusted
        if target is None or untrusted >= PATIENCE:
            untrusted = 0
            for point in nearest(start, surrogate.scaled)[1 : LOCAL + 1]:  # the first is the point itself
                if point not in values:
                    evaluate(point)
            surrogate = Surrogate.near(current, points, values, kernel)
            target = surrogate.ascend(surrogate.scaled[current])[0]
        if target is None:
            target = surrogate.scaled[current]
        best = Trace(values).best
        new = next((point for point in nearest(target, surrogate.scaled) if point not in values), None)
        if new is None:
            break
        evaluate(new)
        current = list(values)[-1]
        misses = 0 if values[current] > values[best] else misses + 1
        if misses > TOLERANCE:
            current, misses = Trace(values).best, 0
    return Trace(values)


def nearest(target: torch.Tensor, points: torch.Tensor) -> list[int]:
    """Return the numbers of all points, nearest to the target first."""
    return torch.linalg.vector_norm(points - target, dim=1).argsort(stable=True).tolist()


class NeuralTangentKernel:
    """Empirical kernel of an untrained network, one hidden layer of ReLUs, all parameters drawn from N(0, 1).

    It is the inner product, over all parameters, of the network's derivatives at two inputs. For
    ``f(x) = v . relu(W x + b) + c`` those are ``relu(W x + b)`` for v, 1 for c, and ``v . relu'(W x + b)`` times
    ``(x, 1)`` for W and b.
    """

    def __init__(self, dimensions: int, width: int = 32, seed: int = 0):
        draw = torch.Generator().manual_seed(seed)
        self.W = torch.randn(width, dimensions, generator=draw, dtype=torch.float64)
        self.b = torch.randn(width, generator=draw, dtype=torch.float64)
        self.v = torch.randn(width, generator=draw, dtype=torch.float64)

    def __call__(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return the ``(n, m)`` kernel of ``(n, dimensions)`` and ``(m, dimensions)`` inputs."""
        hidden = [inputs @ self.W.T + self.b for inputs in (left, right)]
        outer = hidden[0].relu() @ hidden[1].relu().T + 1
        slopes = [self.v * (layer > 0) for layer in hidden]
        return outer + (slopes[0] @ slopes[1].T) * (left @ right.T + 1)


class Surrogate:
    """A Gaussian process with zero prior mean over the unit cube that the fitted points span.

    Attributes:
        scaled: all points, in coordinates where the fitted ones span 0 to 1.
    """

    def __init__(
        self,
        fitted: list[int],
        points: torch.Tensor,
        values: dict[int, float],
        kernel: NeuralTangentKernel,
        noise: float = 1e-4,
    ):
        low, high = points[fitted].amin(0), points[fitted].amax(0)
        self.scaled = (points - low) / torch.where(high > low, high - low, 1.0)
        self._kernel, self._inputs = kernel, self.scaled[fitted]
        covariance = kernel(self._inputs, self._inputs)
        self._factor = torch.linalg.cholesky(covariance + noise * torch.eye(len(fitted), dtype=torch.float64))
        observed = torch.tensor([values[point] for point in fitted], dtype=torch.float64)
        self._weights = torch.cholesky_solve(observed[:, None], self._factor)[:, 0]

    @classmethod
    def near(
        cls, current: int, points: torch.Tensor, values: dict[int, float], kernel: NeuralTangentKernel
    ) -> "Surrogate":
        """Fit the evaluated points nearest to the current one."""
        evaluated = [point for point in nearest(points[current], points) if point in values]
        return cls(evaluated[:NEIGHBOURS], points, values, kernel)

    def mean(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the posterior mean at ``(n, dimensions)`` inputs, ``(n,)``."""
        return self._kernel(inputs, self._inputs) @ self._weights

    def variance(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the posterior variance at ``(n, dimensions)`` inputs, ``(n,)``."""
        across = torch.linalg.solve_triangular(self._factor, self._kernel(self._inputs, inputs), upper=False)
        return self._kernel(inputs, inputs).diagonal() - across.square().sum(0)

    def ascend(self, start: torch.Tensor) -> tuple[torch.Tensor | None, bool]:
        """Step up the posterior mean; return where that leads, None without a slope, and whether to trust it."""
        here = start[None].clone().requires_grad_(True)
        adam = torch.optim.Adam([here], lr=RATE, maximize=True)
        trusted = True
        for _ in range(STEPS):
            adam.zero_grad()
            (slope,) = torch.autograd.grad(self.mean(here).sum(), here)
            if not slope.any():
                return None, trusted
            here.grad = slope
            adam.step()
            trusted = bool(self.variance(here.detach()) <= UNCERTAIN)
            if not trusted:
                break
        return here.detach()[0], trusted
