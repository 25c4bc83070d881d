"""The model that a training began with, for the KL term of its loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Reference:
    """The adapter as it is now, to be put in place of the trained one for a while.

    Args:
        model: a PEFT model; its adapter is at its start.
    """

    def __init__(self, model: Any):
        self._trained = [weight for weight in model.parameters() if weight.requires_grad]
        self._first = [weight.detach().clone() for weight in self._trained]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Compute with the first adapter inside the block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for weight, first in zip(self._trained, self._first, strict=True):
            kept = weight.detach().clone()
            weight.copy_(first.to(weight.device))
            first.copy_(kept)
