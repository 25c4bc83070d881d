"""Attention over a packed tree on a GPU: FlexAttention, which skips the blocks of pairs that see nothing.

What a token may see is told as in :mod:`paft.engine.attention`, by the end of each key's subtree.
"""

from functools import cache
from typing import Any

import torch
from torch.nn.attention import flex_attention as flex
from torch.nn.functional import pad
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from paft.engine.attention import dense_mask

NAME = "paft_block_sparse"
"""The name that ``model.set_attn_implementation`` knows this attention by."""

BLOCK = 128
"""Queries and keys of a block, as FlexAttention's kernels have them."""


def block_mask(ends: torch.Tensor, queries: int) -> flex.BlockMask:
    """Return which blocks the last ``queries`` tokens of a tree see, without a mask over all pairs.

    The queries that see a key stand together, from the key itself to its last descendant, so the blocks of those
    that see any key of a block do too.

    Args:
        ends: ``(keys,)``, the place after each key's last descendant.

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
    """Return FlexAttention compiled; from the second length on, for every length."""
    return torch.compile(flex.flex_attention)


_masks: WeakIdKeyDictionary = WeakIdKeyDictionary()  # all layers of a forward are given the same mask


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
    """Attend as transformers' attention functions do; any mask but a tree's goes to its SDPA.

    So does a tree with dropout, which FlexAttention does not have, and a block of new tokens over a cache, as
    each step of a generation is: there is nothing to skip.

    Args:
        query: ``(1, heads, queries, size)``.
        key, value: ``(1, key-value heads, keys, size)``.

    Returns:
        ``(1, queries, heads, size)`` and None.
    """
    mask: Any = attention_mask
    if mask is not None and mask.dtype == torch.int64:
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


AttentionInterface.register(NAME, block_sparse_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # the masks of generation and of padded rows
