"""Attention over a packed tree: each branch against what lies above it and itself.

A packed tree stands in depth-first order, so what a token may see is told by one number a key: token ``i`` sees
key ``j`` where ``j <= i < end[j]``, with ``end[j]`` the place after the last descendant of ``j``. These numbers
travel as a 4-D ``attention_mask`` of shape ``(1, 1, 1, keys)`` and type int64, which the models of transformers
hand through to their attention function as it is.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "paft_tree"
"""The name that ``model.set_attn_implementation`` knows this attention by."""

_WORTH = 7_000
"""Pairs of tokens whose scores take about as long as the calls for one branch more; measured at nine heads."""

_ROWS = 128
"""Tokens of a branch that are computed at a time: the keys after them are hidden from them and left out."""

Span = tuple[int, int]


class Branch(NamedTuple):
    """Neighbouring tokens that see the same keys above them, and of their own what ``bias`` leaves.

    Attributes:
        start, end: of the tokens, counted in keys.
        seen: the spans of keys that they see, the last of which ends with themselves.
        bias: ``(end - start, length of the last span)``, 0 where the row's token may see the column's key, else
            minus infinity; added to the scores, which takes a fortieth of the time of ``masked_fill_``.
    """

    start: int
    end: int
    seen: tuple[Span, ...]
    bias: torch.Tensor


def visible(ends: torch.Tensor, queries: int) -> torch.Tensor:
    """Return the ``(queries, keys)`` mask, True where the last ``queries`` tokens may see a key."""
    keys = torch.arange(len(ends), device=ends.device)
    rows = keys[len(ends) - queries :, None]
    return (keys <= rows) & (rows < ends)


def dense_mask(ends: torch.Tensor, queries: int, dtype: torch.dtype) -> torch.Tensor:
    """Return a tree's mask for other attention functions."""
    return additive(visible(ends.flatten(), queries), dtype)


def additive(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the ``(1, 1, queries, keys)`` mask to add to scores, of a mask that is True where a key is seen."""
    mask = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[None, None]


def branches(ends: torch.Tensor, queries: int) -> list[Branch]:
    """Cut the last ``queries`` tokens of a tree into branches, with few pairs computed only to be hidden."""
    places: list[int] = ends.flatten().tolist()
    cached = len(places) - queries

    def branch(start: int, end: int, above: tuple[Span, ...]) -> Iterator[Branch]:
        own = torch.tensor(places[start:end]) - start
        rows = math.ceil((end - start) / max(round((end - start) / _ROWS), 1))
        for first in range(start, end, rows):
            last = min(first + rows, end)
            hidden = ~visible(own[: last - start], last - first)
            bias = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
            yield Branch(first, last, (*above, (start, last)), bias)

    def split(start: int, end: int, above: tuple[Span, ...]) -> Iterator[Branch]:
        fork = next((i for i in range(start, end) if places[i] != end), end)
        trunk, parts = fork - start, list(siblings(fork, end))
        needed = trunk**2 + sum((b - a) * (trunk + b - a) for a, b in parts)
        if (end - start) ** 2 - needed <= _WORTH * (len(parts) - (trunk == 0)):
            yield from branch(start, end, above)
            return
        if trunk:
            yield from branch(start, fork, above)
            above = (*above, (start, fork))
        for a, b in parts:
            yield from (split if places[a] == b else branch)(a, b, above)

    def siblings(start: int, end: int) -> Iterator[Span]:
        """Yield the children from ``start`` on, small neighbours together: the pairs between them are hidden."""
        first, last = start, start
        while last < end:
            child = places[last] - last
            if last > first and 2 * (last - first) * child > _WORTH:
                yield first, last
                first = last
            last += child
        if first < end:
            yield first, end

    return list(split(cached, len(places), ((0, cached),) if cached else ()))


_plans: WeakIdKeyDictionary = WeakIdKeyDictionary()  # all layers of a forward are given the same mask


def tree_attention(
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

    Args:
        query: ``(1, heads, queries, size)``.
        key, value: ``(1, key-value heads, keys, size)``.

    Returns:
        ``(1, queries, heads, size)`` and None.
    """
    if attention_mask is None or attention_mask.dtype != torch.int64:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    queries = query.shape[2]
    if dropout:  # drops pairs of tokens, as SDPA does it
        mask = dense_mask(attention_mask, queries, query.dtype)
        return sdpa_attention_forward(module, query, key, value, mask, dropout, scaling, **kwargs)
    if attention_mask not in _plans:
        _plans[attention_mask] = branches(attention_mask, queries)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _TreeAttention.apply(query, key, value, _plans[attention_mask], scale), None


class _TreeAttention(torch.autograd.Function):
    """Softmax attention branch by branch, all query heads of a key-value head in one product.

    Scores and softmax are float32, the other products are of the model's type, as in flash attention.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: list[Branch], scale: float
    ) -> torch.Tensor:
        """Keep each branch's weights for the way back."""
        q, k, v = query[0].unflatten(0, (key.shape[1], -1)), key[0], value[0]
        scaled, k32 = q.float() * scale, k.float()
        cached = k.shape[1] - q.shape[2]
        out = torch.empty(q.shape[2], query.shape[1], v.shape[-1], dtype=v.dtype)
        kept = []
        for branch in tree:
            here = slice(branch.start - cached, branch.end - cached)
            rows, own = branch.bias.shape
            scores = scaled[:, :, here].flatten(1, 2) @ _seen(k32, branch).transpose(1, 2)
            scores.unflatten(1, (-1, rows))[..., -own:] += branch.bias
            weights = scores.softmax(-1).to(v.dtype)
            out[here] = (weights @ _seen(v, branch)).view(query.shape[1], -1, v.shape[-1]).transpose(0, 1)
            kept.append(weights)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(q, k, v, *kept)
            ctx.tree, ctx.scale = tree, scale
        return out[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        q, k, v, *kept = ctx.saved_tensors
        cached = k.shape[1] - q.shape[2]
        grad = grads[0][0].transpose(0, 1).unflatten(0, q.shape[:2])
        dq = torch.empty_like(q)
        dk, dv = (torch.zeros(x.shape, dtype=torch.float32) for x in (k, v))  # parts of many branches are added
        for branch, weights in zip(ctx.tree, kept, strict=True):
            here = slice(branch.start - cached, branch.end - cached)
            g = grad[:, :, here].flatten(1, 2)
            d_weights = (g @ _seen(v, branch).transpose(1, 2)).float()
            d_scores = torch._softmax_backward_data(d_weights, weights.float(), -1, torch.float32).to(q.dtype)
            dq[:, :, here] = (d_scores @ _seen(k, branch)).unflatten(1, (-1, branch.end - branch.start))
            _add(dk, branch, d_scores.transpose(1, 2) @ q[:, :, here].flatten(1, 2))
            _add(dv, branch, weights.transpose(1, 2) @ g)
        dq, dk = dq.flatten(0, 1) * ctx.scale, dk * ctx.scale
        return dq[None], dk[None].to(k.dtype), dv[None].to(v.dtype), None, None


def _seen(x: torch.Tensor, branch: Branch) -> torch.Tensor:
    """Return the keys or values, ``(heads, seen, size)``, that a branch sees."""
    spans = [x[:, a:b] for a, b in branch.seen]
    return torch.cat(spans, 1) if len(spans) > 1 else spans[0]


def _add(total: torch.Tensor, branch: Branch, part: torch.Tensor) -> None:
    """Add a branch's gradient of what it saw to the gradient of all keys or values."""
    done = 0
    for a, b in branch.seen:
        total[:, a:b] += part[:, done : done + b - a]
        done += b - a


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # the masks of generation and of padded rows
