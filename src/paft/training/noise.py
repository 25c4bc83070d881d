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

    def plan(self, step: int, step_rows: Sequence[Row], rows: Sequence[Row], positions: int | None) -> NoisePlan:
        """Return where the noise goes in a forward of some of a step's rows.

        Args:
            step_rows: all rows of the step, over accumulation and processes.
            rows: those of this forward; each is one of the step's.
            positions: of a right-padded batch; None if the rows are packed.
        """
        whole = TokenTree(row.ids[:-1] for row in step_rows)
        nodes = len(whole.ids)
        lengths, count, is_answer = torch.zeros(nodes), torch.zeros(nodes), torch.zeros(nodes, dtype=torch.bool)
        for row in step_rows:
            path = torch.tensor(whole.path(row.ids[:-1]))
            lengths[path] += len(path)
            count[path] += 1
            is_answer[path[len(row.ids) - row.answer :]] = True
        scale = (lengths / count).rsqrt()
        paths = [torch.tensor(whole.path(row.ids[:-1])) for row in rows]
        if positions is None:
            tree = TokenTree(row.ids[:-1] for row in rows)
            index = torch.full((1, len(tree.ids)), -1)
            for row, path in zip(rows, paths, strict=True):
                index[0, tree.path(row.ids[:-1])] = path
        else:
            index = torch.full((len(rows), positions), -1)
            for line, path in enumerate(paths):
                index[line, : len(path)] = path
        index[is_answer[index] & (index >= 0)] = -1
        return NoisePlan(step, nodes, index, scale[index])

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
