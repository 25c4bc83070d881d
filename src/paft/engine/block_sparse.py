"""Attention over a packed tree on a GPU: FlexAttention, which skips blocks in which no query sees a key.

The mask is defined as in :mod:`paft.engine.attention`, by the end of each key's subtree.
"""

from functools import cache
from typing import Any

import torch
from torch.nn.attention import flex_attention as flex
from torch.nn.functional import pad
from torch.utils.weak import WeakIdKeyDictionary

from paft.engine.attention import check_keys, dense_mask
from paft.utils.hf_internals import register_attention, sdpa_attention_forward

NAME = "paft_block_sparse"
"""This attention's name for ``model.set_attn_implementation``."""

REPLACES = ("sdpa",)
"""The attention functions of transformers whose models it can run: it has no softcap and no sinks."""

BLOCK = 128
"""Queries, and keys, of one block of FlexAttention's kernels."""


def block_mask(ends: torch.Tensor, queries: int) -> flex.BlockMask:
    """Return which blocks the last ``queries`` tokens of a tree see, without building a mask over all pairs.

    The queries that see a key are consecutive, from the key itself to its last descendant. So the query blocks
    that see any key of a block are consecutive too.

    Args:
        ends: ``(keys,)``, the index after each key's last descendant.

    Returns:
        Blocks of :data:`BLOCK` queries by as many keys, for one batch and all heads.
    """
    keys = len(ends)
    cached = keys - queries
    unfilled = -keys % BLOCK
    first = (torch.arange(keys, device=ends.device) - cached).clamp(min=0) // BLOCK
    last = (ends - 1 - cached) // BLOCK
    rows = torch.arange(-(-queries // BLOCK), device=ends.device)[:, None]
    sees = rows >= pad(first, (0, unfilled), value=keys).view(-1, BLOCK).amin(1)
    sees &= rows <= pad(last, (0, unfilled), value=-1).view(-1, BLOCK).amax(1)
    order = sees.int().argsort(descending=True, stable=True).int()

    def visible(_batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        place = query + cached
        return (key <= place) & (place < ends[key])

    return flex.BlockMask.from_kv_blocks(
        sees.sum(1, dtype=torch.int32)[None, None],
        order[None, None],
        BLOCK_SIZE=BLOCK,
        mask_mod=visible,
        seq_lengths=(queries, keys),
    )


@cache
def _kernel() -> Any:
    """Return the compiled FlexAttention; after its second length it is compiled for every length."""
    return torch.compile(flex.flex_attention)


_masks: WeakIdKeyDictionary = WeakIdKeyDictionary()  # all layers of a forward receive the same mask


def block_sparse_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention like transformers' attention functions; only a tree's mask is not passed to its SDPA.

    SDPA also computes a tree with dropout, which FlexAttention does not support, and a few new tokens over a
    cache, such as a generation step, where there is nothing to skip.

    Args:
        query: ``(1, heads, queries, size)``.
        key, value: ``(1, key-value heads, keys, size)``.

    Returns:
        ``(1, queries, heads, size)`` and None.
    """
    mask: Any = attention_mask
    if mask is not None and mask.dtype == torch.int64:
        check_keys(key, mask)
        if mask not in _masks:
            queries = query.shape[2]
            short = queries <= BLOCK and queries < key.shape[2]
            ends = mask.flatten().clone()  # a view would keep its own key alive
            _masks[mask] = (
                dense_mask(ends, queries, query.dtype) if short or dropout else block_mask(ends, queries)
            )
        mask = _masks[mask]
    if not isinstance(mask, flex.BlockMask):
        return sdpa_attention_forward(module, query, key, value, mask, dropout, scaling, **kwargs)
    out = _kernel()(query, key, value, block_mask=mask, scale=scaling, enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


register_attention(NAME, block_sparse_attention)
