"""Generate over a packed tree: shared beginnings are computed once, each unfinished row adds one node per step."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from paft.engine.attention import additive
from paft.engine.pack import Row, packed

Pick = Callable[[torch.Tensor], torch.Tensor]
"""Takes the logits ``(rows, vocabulary)`` of each row's next token, returns the tokens ``(rows,)``."""


def picker(temperature: float, seed: int) -> Pick:
    """Return the likeliest token each time at temperature 0; else draw with the seed."""
    if temperature == 0:
        return lambda logits: logits.argmax(-1)
    generator = torch.Generator().manual_seed(seed)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        weights = (logits.float() / temperature).softmax(-1).cpu()
        return weights.multinomial(1, generator=generator)[:, 0].to(logits.device)

    return draw


@torch.no_grad()
def generate_packed(
    engine: Any,
    prompts: Sequence[list[int]],
    cache: DynamicCache,
    max_new_tokens: int,
    stops: Collection[int],
    pick: Pick,
) -> list[list[int]]:
    """Return the tokens that follow each prompt, including the stop token.

    Args:
        engine: :class:`paft.engine.engine.Engine` whose batch format is chosen and not ``padded``.
        cache: keys and values of tokens that begin every prompt; unchanged afterwards.
    """
    device = engine.model.device
    cached = cache.get_seq_length()
    rows = [Row([*prompt, 0], 1) for prompt in prompts]
    inputs = packed(rows, cached)
    ends, last = (inputs[name].flatten() for name in ("attention_mask", "logits_to_keep"))
    last = (last + cached)[:, None]
    path = (torch.arange(len(ends)) <= last) & (last < ends)  # (rows, keys): what each row's last token sees
    depth = torch.tensor([len(prompt) for prompt in prompts])
    inputs = {k: v.to(device) for k, v in engine.masked(inputs).items() if k != "labels"}
    logits = engine.forward(inputs, cache)[0]
    live = torch.arange(len(prompts))
    owner = torch.empty(0, dtype=torch.long)  # the row of each new key
    answers: list[list[int]] = [[] for _ in prompts]
    for step in range(max_new_tokens):
        tokens = pick(logits).cpu()
        for row, token in zip(live.tolist(), tokens.tolist(), strict=True):
            answers[row].append(token)
        on = torch.tensor([token not in stops for token in tokens.tolist()])
        live, tokens = live[on], tokens[on]
        if not len(live) or step + 1 == max_new_tokens:
            break
        owner = torch.cat([owner, live])
        sees = torch.cat([path[live], owner == live[:, None]], 1)
        inputs = {
            "input_ids": tokens[None].to(device),
            "position_ids": (depth[live] + step)[None].to(device),
            "attention_mask": additive(sees.to(device), engine.model.dtype),
            "logits_to_keep": torch.arange(len(live), device=device),
        }
        logits = engine.forward(inputs, cache)[0]
    cache.crop(cached - cache.get_seq_length())
    return answers
