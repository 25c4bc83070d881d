"""Noise on the embeddings of prompt tokens while training (NEFTune, arXiv 2310.05914, on the prompt alone)."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from paft.engine.pack import Row, TokenTree


@dataclass(frozen=True)
class NoisePlan:
    """Where the noise of a step goes in one forward.

    Attributes:
        step: the optimiser step.
        size: how many rows of noise the step draws.
        index: ``(batch, positions)``: which of them each token takes; -1 for a token without noise.
        scale: ``(batch, positions)``: 1 / √L of each token.
    """

    step: int
    size: int
    index: torch.Tensor
    scale: torch.Tensor


class StepNoise:
    """Where the noise of an optimiser step goes.

    Args:
        step: the optimiser step.
        step_rows: all rows of the step, over accumulation and processes.
    """

    def __init__(self, step: int, step_rows: Sequence[Row]):
        self.step, self._rows = step, step_rows
        self._tree = TokenTree(row.ids[:-1] for row in step_rows)
        size = len(self._tree.ids)
        lengths, count = torch.zeros(size), torch.zeros(size)
        self._is_answer = torch.zeros(size, dtype=torch.bool)
        for row in step_rows:
            path = self._path(row)
            lengths[path] += len(path)
            count[path] += 1
            self._is_answer[path[len(row.ids) - row.answer :]] = True
        self._scale = (lengths / count).rsqrt()

    def plan(self, rows: Sequence[Row], positions: int | None, cached: int = 0) -> NoisePlan:
        """Return where the noise goes in a forward.

        Args:
            rows: of the forward; each is one of the step's.
            positions: of a right-padded batch; None if the rows are packed.
            cached: how many tokens at the beginning of every row another forward computes.
        """
        if positions is None:
            tree = TokenTree(row.ids[cached:-1] for row in rows)
            index = torch.full((1, len(tree.ids)), -1)
            for row in rows:
                index[0, tree.path(row.ids[cached:-1])] = self._path(row)[cached:]
        else:
            index = torch.full((len(rows), positions), -1)
            for line, row in zip(index, rows, strict=True):
                line[: len(row.ids) - 1] = self._path(row)
        return self._plan(index)

    def plan_of_beginning(self, ids: list[int]) -> NoisePlan | None:
        """Return where the noise goes in a forward of tokens that rows begin with; None if none of the step do."""
        path = next((self._path(row) for row in self._rows if list(row.ids[: len(ids)]) == ids), None)
        return None if path is None else self._plan(path[None, : len(ids)])

    def _plan(self, index: torch.Tensor) -> NoisePlan:
        index[(index >= 0) & self._is_answer[index]] = -1
        return NoisePlan(self.step, len(self._tree.ids), index, self._scale[index])

    def _path(self, row: Row) -> torch.Tensor:
        return torch.tensor(self._tree.path(row.ids[:-1]))


class PromptNoise:
    """Adds U(-1, 1) · alpha / √(L · d) to the embedding of each token of a prompt.

    L is the length of the token's row, d that of an embedding. Tokens that several rows of a step begin with are
    one token: they get the same noise, and L is the mean of those rows. So the noise depends on the seed and the
    rows of the step alone, not on how they are cut into forwards, dealt to processes, packed or padded.

    Args:
        alpha: the strength; NEFTune's authors take 5.
        seed: of the noise.
    """

    def __init__(self, alpha: float, seed: int):
        self.alpha, self.seed = alpha, seed

    def of(self, plan: NoisePlan, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the noise of a forward, of the shape and type of its embeddings ``(batch, positions, d)``."""
        device, dimension = embeddings.device, embeddings.shape[-1]
        generator = torch.Generator(device).manual_seed((self.seed * 2**31 + plan.step) % 2**63)
        drawn = torch.rand(plan.size, dimension, generator=generator, device=device) * 2 - 1
        index = plan.index.to(device)
        scale = (index >= 0) * plan.scale.to(device) * (self.alpha / math.sqrt(dimension))
        return (drawn[index] * scale[..., None]).to(embeddings.dtype)

    @contextmanager
    def added(self, model: Any, plan: NoisePlan | None) -> Iterator[None]:
        """Add the noise in the forward of the model that runs meanwhile.

        Args:
            model: of transformers or PEFT, without the wrapper of several processes.
            plan: None adds nothing.
        """
        if plan is None:
            yield
            return

        def add(module: Any, inputs: Any, embeddings: torch.Tensor) -> torch.Tensor:
            return embeddings + self.of(plan, embeddings)

        hook = model.get_input_embeddings().register_forward_hook(add)
        try:
            yield
        finally:
            hook.remove()
