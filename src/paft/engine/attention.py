"""Attention over a packed tree on a CPU: each branch attends to its ancestors and itself.

A packed tree is in depth-first order, so one number per key defines the mask: token ``i`` sees key ``j`` if
``j <= i < end[j]``, where ``end[j]`` is the index after the last descendant of ``j``. These numbers are passed as
a 4-D ``attention_mask`` of shape ``(1, 1, 1, keys)`` and type int64, which the models of transformers pass on to
their attention function unchanged.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.weak import WeakIdKeyDictionary

from paft.utils.hf_internals import register_attention, sdpa_attention_forward, softmax_backward

NAME = "paft_tree"
"""This attention's name for ``model.set_attn_implementation``."""

REPLACES = ("sdpa", "eager")
"""The attention functions of transformers whose models it can run."""

_WORTH = 7_000
"""Token pairs whose scores take about as long as the calls for one more branch; measured with nine heads."""

_ROWS = 128
"""Tokens of a branch that are computed together; the keys after them are hidden from them and left out."""

Span = tuple[int, int]


class Branch(NamedTuple):
    """Consecutive tokens that see the same keys above them, and those of their own keys that ``bias`` allows.

    Attributes:
        start, end: range of the tokens, as key indices.
        seen: spans of the keys that they see; the last span ends with the tokens themselves.
        bias: ``(end - start, length of the last span)``, 0 where the row's token sees the column's key, else
            minus infinity. It is added to the scores, which takes a fortieth of the time of ``masked_fill_``.
    """

    start: int
    end: int
    seen: tuple[Span, ...]
    bias: torch.Tensor


def visible(ends: torch.Tensor, queries: int) -> torch.Tensor:
    """Return the ``(queries, keys)`` mask of the last ``queries`` tokens, True where a token sees a key."""
    keys = torch.arange(len(ends), device=ends.device)
    rows = keys[len(ends) - queries :, None]
    return (keys <= rows) & (rows < ends)


def dense_mask(ends: torch.Tensor, queries: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the ``(1, 1, queries, keys)`` mask of a tree for other attention functions."""
    return additive(visible(ends.flatten(), queries), dtype)


def additive(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the ``(1, 1, queries, keys)`` mask to add to scores; ``sees`` is True where a key is seen."""
    mask = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[None, None]


def branches(ends: torch.Tensor, queries: int) -> list[Branch]:
    """Cut the last ``queries`` tokens of a tree into branches so that few hidden pairs are computed."""
    key_ends: list[int] = ends.flatten().tolist()
    cached = len(key_ends) - queries

    def branch(start: int, end: int, above: tuple[Span, ...]) -> Iterator[Branch]:
        own = torch.tensor(key_ends[start:end]) - start
        rows = math.ceil((end - start) / max(round((end - start) / _ROWS), 1))
        for first in range(start, end, rows):
            last = min(first + rows, end)
            hidden = ~visible(own[: last - start], last - first)
            bias = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
            yield Branch(first, last, (*above, (start, last)), bias)

    def split(start: int, end: int, above: tuple[Span, ...]) -> Iterator[Branch]:
        fork = next((i for i in range(start, end) if key_ends[i] != end), end)
        trunk, parts = fork - start, list(siblings(fork, end))
        needed = trunk**2 + sum((b - a) * (trunk + b - a) for a, b in parts)
        if (end - start) ** 2 - needed <= _WORTH * (len(parts) - (trunk == 0)):
            yield from branch(start, end, above)
            return
        if trunk:
            yield from branch(start, fork, above)
            above = (*above, (start, fork))
        for a, b in parts:
            yield from (split if key_ends[a] == b else branch)(a, b, above)

    def siblings(start: int, end: int) -> Iterator[Span]:
        """Yield the spans of the children from ``start`` on; small neighbours form one span."""
        first, last = start, start
        while last < end:
            child = key_ends[last] - last
            if last > first and 2 * (last - first) * child > _WORTH:
                yield first, last
                first = last
            last += child
        if first < end:
            yield first, end

    return list(split(cached, len(key_ends), ((0, cached),) if cached else ()))


def check_keys(key: torch.Tensor, ends: torch.Tensor) -> None:
    """Refuse a tree's mask or keys that a layer has cut, as for a sliding window over the packed order.

    Raises:
        RuntimeError: the mask has not one number per key.
    """
    if ends.shape[-1] != key.shape[2]:
        raise RuntimeError(f"a layer attends to {key.shape[2]} keys of a tree with a mask for {ends.shape[-1]}")


_plans: WeakIdKeyDictionary = WeakIdKeyDictionary()  # all layers of a forward receive the same mask


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
    """Compute attention like transformers' attention functions; only a tree's mask is not passed to its SDPA.

    Args:
        query: ``(1, heads, queries, size)``.
        key, value: ``(1, key-value heads, keys, size)``.
        kwargs: ``softcap`` and ``s_aux`` among them, see :func:`plain_attention`.

    Returns:
        ``(1, queries, heads, size)`` and None.
    """
    softcap, sinks = kwargs.get("softcap"), kwargs.get("s_aux")
    if attention_mask is not None and attention_mask.dtype == torch.int64:
        check_keys(key, attention_mask)
        trained = sinks is not None and sinks.requires_grad
        if not dropout and not trained:
            if attention_mask not in _plans:
                _plans[attention_mask] = branches(attention_mask, query.shape[2])
            scale = query.shape[-1] ** -0.5 if scaling is None else scaling
            return _TreeAttention.apply(query, key, value, _plans[attention_mask], scale, softcap, sinks), None
        attention_mask = dense_mask(attention_mask, query.shape[2], query.dtype)
    if softcap is None and sinks is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    return plain_attention(query, key, value, attention_mask, dropout, scaling, softcap, sinks), None


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Compute what SDPA does not have.

    Args:
        query, key, value: as in :func:`tree_attention`, of any batch size.
        attention_mask: ``(batch, 1, queries, keys)``, boolean or to be added; None for a causal one.
        softcap: scores are bent to ``softcap * tanh(scores / softcap)`` (Gemma 2).
        sinks: ``(heads,)``, the score of a further key without a value (gpt-oss).

    Returns:
        ``(batch, queries, heads, size)``.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if attention_mask is None:
        rows, columns = scores.shape[2:]
        attention_mask = torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril(columns - rows)
    if attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    else:
        scores = scores + attention_mask
    keys = scores.shape[-1]
    if sinks is not None:
        scores = torch.cat([scores, sinks.view(1, -1, 1, 1).expand(*scores.shape[:3], 1).to(scores.dtype)], -1)
    weights = torch.nn.functional.dropout(scores.float().softmax(-1)[..., :keys], dropout)
    return (weights.to(value.dtype) @ value).transpose(1, 2).contiguous()


class _TreeAttention(torch.autograd.Function):
    """Softmax attention branch by branch, with all query heads of a key-value head in one product.

    Scores and softmax are float32; the other products have the model's type, as in flash attention.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        tree: list[Branch],
        scale: float,
        softcap: float | None,
        sinks: torch.Tensor | None,
    ) -> torch.Tensor:
        """Save each branch's weights for the backward pass."""
        q, k, v = query[0].unflatten(0, (key.shape[1], -1)), key[0], value[0]
        scaled, k32 = q.float() * scale, k.float()
        cached = k.shape[1] - q.shape[2]
        out = torch.empty(q.shape[2], query.shape[1], v.shape[-1], dtype=v.dtype)
        kept = []
        sink = None if sinks is None else sinks.float().unflatten(0, (key.shape[1], -1))
        for branch in tree:
            here = slice(branch.start - cached, branch.end - cached)
            rows, own = branch.bias.shape
            scores = scaled[:, :, here].flatten(1, 2) @ _seen(k32, branch).transpose(1, 2)
            if softcap is not None:
                scores = scores.div_(softcap).tanh_().mul_(softcap)
            scores.unflatten(1, (-1, rows))[..., -own:] += branch.bias
            if sink is not None:  # a last key, dropped after the softmax
                scores = torch.cat([scores, sink.repeat_interleave(rows, 1)[..., None]], 2)
            weights = scores.softmax(-1)[..., : scores.shape[-1] - (sink is not None)].to(v.dtype)
            out[here] = (weights @ _seen(v, branch)).view(query.shape[1], -1, v.shape[-1]).transpose(0, 1)
            kept.append(weights)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(q, k, v, *kept)
            ctx.tree, ctx.scale, ctx.softcap = tree, scale, softcap
        return out[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        q, k, v, *kept = ctx.saved_tensors
        cached = k.shape[1] - q.shape[2]
        grad = grads[0][0].transpose(0, 1).unflatten(0, q.shape[:2])
        dq = torch.empty_like(q)
        dk, dv = (x.new_zeros(x.shape, dtype=torch.float32) for x in (k, v))  # sums over branches
        for branch, weights in zip(ctx.tree, kept, strict=True):
            here = slice(branch.start - cached, branch.end - cached)
            g = grad[:, :, here].flatten(1, 2)
            d_weights = (g @ _seen(v, branch).transpose(1, 2)).float()
            d_scores = softmax_backward(d_weights, weights.float())
            if ctx.softcap is not None:
                bent = (q[:, :, here].float() * ctx.scale).flatten(1, 2) @ _seen(k.float(), branch).transpose(1, 2)
                d_scores *= 1 - (bent / ctx.softcap).tanh_().square_()
            d_scores = d_scores.to(q.dtype)
            dq[:, :, here] = (d_scores @ _seen(k, branch)).unflatten(1, (-1, branch.end - branch.start))
            _add(dk, branch, d_scores.transpose(1, 2) @ q[:, :, here].flatten(1, 2))
            _add(dv, branch, weights.transpose(1, 2) @ g)
        dq, dk = dq.flatten(0, 1) * ctx.scale, dk * ctx.scale
        return dq[None], dk[None].to(k.dtype), dv[None].to(v.dtype), None, None, None, None


def _seen(x: torch.Tensor, branch: Branch) -> torch.Tensor:
    """Return the keys or values, ``(heads, seen, size)``, that a branch sees."""
    spans = [x[:, a:b] for a, b in branch.seen]
    return torch.cat(spans, 1) if len(spans) > 1 else spans[0]


def _add(total: torch.Tensor, branch: Branch, part: torch.Tensor) -> None:
    """Add the gradient of a branch's keys or values to the gradient of all keys or values."""
    done = 0
    for a, b in branch.seen:
        total[:, a:b] += part[:, done : done + b - a]
        done += b - a


register_attention(NAME, tree_attention)
