"""What all forwards of an optimiser step begin with runs through the model once (arXiv 2606.01143).

With gradient accumulation, a step's rows come in several forwards, and each would compute the prompt that they
share again. Instead it is computed once, with gradients, and each forward packs what follows it over its keys and
values. For every forward but the last these are leaves, which add up their gradients. The last forward uses the
keys and values themselves, and its backward pass adds those gradients to its own on the way into the beginning. So
the beginning has one backward pass, and losses and gradients are those of the step without it, within rounding.

Dropout draws one mask for the beginning of a step, as it does where the step is one pack.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers import DynamicCache

from paft.engine.engine import Engine
from paft.engine.pack import Row, shared_beginning
from paft.training.noise import NoisePlan, StepNoise

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
"""Their backward passes expect each part of the model to be used once per forward of the whole."""

WORTH = 128
"""The fewest tokens to save in a step; one more pass through a small model on a CPU takes as long as about 64."""


class SharedPrefix:
    """Keys and values of the tokens that all rows of an optimiser step on this process begin with.

    They are computed when the first forward asks for them, and freed with the last one.

    Args:
        ids: the tokens.
        forwards: of the step on this process; each calls :meth:`cache` once, and its backward pass follows.
        noise: where noise is added to the embeddings of the tokens; None for no noise.
    """

    def __init__(self, engine: Engine, ids: Sequence[int], forwards: int, noise: NoisePlan | None = None):
        self.engine, self.ids, self.forwards, self.noise = engine, ids, forwards, noise
        self._cache: DynamicCache | None = None
        self._leaves: list[dict[str, torch.Tensor]] = []  # of each layer, by attribute: keys, values

    def cache(self) -> DynamicCache:
        """Return a cache for the next forward."""
        if self._cache is None:
            self._cache = self.engine.cache(self.ids, gradients=True)
            assert self._cache is not None, "the rows of this step are padded"
            self._leaves = [_leaves(layer) for layer in self._cache.layers]
        cache = copy.copy(self._cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        self.forwards -= 1
        for layer, leaves in zip(cache.layers, self._leaves, strict=True):
            if self.forwards:
                vars(layer).update(leaves)
            else:
                for name, leaf in leaves.items():
                    getattr(layer, name).register_hook(lambda gradient, leaf=leaf: gradient + leaf.grad)
        if not self.forwards:
            self._cache, self._leaves = None, []
        return cache


def _leaves(layer: Any) -> dict[str, torch.Tensor]:
    """Return new leaves with the values of a layer's tensors that need gradients."""
    tensors = {name: value for name, value in vars(layer).items() if isinstance(value, torch.Tensor)}
    return {name: value.detach().requires_grad_() for name, value in tensors.items() if value.requires_grad}


def shared_prefix(
    engine: Engine, forwards: Sequence[Sequence[Row]], noise: StepNoise | None = None
) -> SharedPrefix | None:
    """Return what all rows of a step begin with; None if computing it apart is not possible or does not pay.

    Args:
        forwards: the rows of each forward on this process.
        noise: of the step.
    """
    rows = [row for forward in forwards for row in forward]
    ids = shared_beginning([list(row.ids[: len(row.ids) - row.answer]) for row in rows])
    if len(ids) * (len(forwards) - 1) < WORTH or not all([engine.packs(len(row.ids) - 1) for row in rows]):
        return None
    return SharedPrefix(engine, ids, len(forwards), noise.plan_of_beginning(ids) if noise else None)


def can_share_prefix(model: Any, args: Any, accelerator: Any) -> bool:
    """Return True if a part of a forward may run apart from it.

    Not so where the model is sharded over processes or compiled as a whole, where gradient checkpointing runs the
    layers again, which it does without a cache, or where TRL moves activations away until the backward pass that
    comes next. DistributedDataParallel averages the gradients in the backward pass of a step's last forward, which
    is that of the beginning too.

    Args:
        args: ``transformers.TrainingArguments``.
        accelerator: of the Trainer.
    """
    recomputes = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    as_one = args.torch_compile or getattr(args, "activation_offloading", False)
    return not (recomputes or as_one or accelerator.distributed_type in SHARDED)
