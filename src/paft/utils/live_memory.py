"""How much memory a computation takes, from the shapes of its tensors alone."""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive inside the block, also in a backward pass.

    Tensors of the meta device have shapes and no numbers, so a model of any size can be counted.

    Attributes:
        bytes, peak: of the tensors that are alive, now and at most.
    """

    def __init__(self, tensors: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._counted: WeakIdKeyDictionary = WeakIdKeyDictionary()  # storages; tensors may share one
        for tensor in tensors:
            self._count(tensor)

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        """Run an operation and count what it allocates."""
        result = function(*arguments, **(keywords or {}))
        tree_map_only(torch.Tensor, self._count, result)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._counted:
            return
        self._counted[storage] = size = storage.nbytes()
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.bytes -= size
