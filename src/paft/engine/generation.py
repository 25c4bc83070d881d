"""Generate over a packed tree, where each unfinished row adds one node per step, or from left-padded rows."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from paft.engine.attention import additive
from paft.engine.pack import Row, packed
from paft.utils.device import forked_rng

if TYPE_CHECKING:
    from paft.engine.engine import Engine  # which imports this module

Pick = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes the logits ``(rows, vocabulary)`` of the unfinished rows' next tokens and the indices ``(rows,)`` of these
rows, on the CPU; returns the tokens ``(rows,)``."""


def picker(temperature: float, seed: int) -> Pick:
    """Return the likeliest token each time at temperature 0; else draw with the seed."""
    if temperature == 0:
        return lambda logits, live: logits.argmax(-1)
    generator = torch.Generator().manual_seed(seed)

    def draw(logits: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        weights = (logits.float() / temperature).softmax(-1).cpu()
        return weights.multinomial(1, generator=generator)[:, 0].to(logits.device)

    return draw


class TextStop:
    """Tells whether an answer holds one of some texts at its end.

    Only the last tokens are decoded at each step: a text of n bytes lies in at most n of them, and one more keeps
    the decoder from dropping a space at the start.

    Args:
        decode: returns the text of token ids.
    """

    def __init__(self, decode: Callable[[list[int]], str], texts: Sequence[str]):
        self.decode, self.texts = decode, tuple(texts)
        self.window = max(len(text.encode()) for text in texts) + 1

    def __call__(self, ids: Sequence[int]) -> bool:
        """Return True if one of the texts ends in the last tokens."""
        tail = self.decode(list(ids[-self.window :]))
        return any(text in tail for text in self.texts)

    def cut(self, ids: list[int]) -> list[int]:
        """Return an answer up to the token in which the first text ends."""
        return next((ids[:end] for end in range(1, len(ids)) if self(ids[:end])), ids)

    def criteria(self, prompt_length: int) -> Callable[..., torch.Tensor]:
        """Return what ``generate`` of transformers asks after each step: which rows have ended."""

        def ended(input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            rows = input_ids[:, prompt_length:].tolist()
            return torch.tensor([self(row) for row in rows], device=input_ids.device)

        return ended


@torch.no_grad()
def generate_packed(
    engine: "Engine",
    prompts: Sequence[list[int]],
    cache: DynamicCache,
    max_new_tokens: int,
    stops: Collection[int],
    pick: Pick,
    has_ended: TextStop | None = None,
) -> list[list[int]]:
    """Return the tokens that follow each prompt, including the stop token or the one that ends a stop text.

    Args:
        engine: its batch format is chosen and not ``padded``.
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
        tokens = pick(logits, live).cpu()
        for row, token in zip(live.tolist(), tokens.tolist(), strict=True):
            answers[row].append(token)
        on = torch.tensor(
            [
                token not in stops and not (has_ended and has_ended(answers[row]))
                for row, token in zip(live.tolist(), tokens.tolist(), strict=True)
            ]
        )
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


def generate_padded(
    engine: "Engine",
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    stops: Collection[int],
    has_ended: TextStop | None,
    temperature: float,
    seed: int,
) -> list[list[int]]:
    """Return the same as :func:`generate_packed`, from left-padded rows and transformers' own generation."""
    model, tokenizer = engine.model, engine.format.tokenizer
    length = max(map(len, prompts))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else engine.format.end[0]
    ids = torch.tensor([[pad] * (length - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    # An index, where transformers takes a slice: with a slice in bfloat16, torch on a CPU copies the output
    # weights for each row.
    last = {"logits_to_keep": torch.tensor([-1], device=model.device)} if engine.keeps_logits else {}
    with forked_rng(model.device, enabled=temperature > 0):
        if temperature > 0:
            torch.manual_seed(seed)
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=temperature > 0,
            repetition_penalty=1.0,
            temperature=temperature or None,
            top_p=None,
            top_k=None,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(stops),
            pad_token_id=pad,
            stopping_criteria=[has_ended.criteria(length)] if has_ended else None,
            **last,
        )
    rows = output[:, length:].tolist()
    ends = [next((i + 1 for i, token in enumerate(row) if token in stops), len(row)) for row in rows]
    answers = [row[:end] for row, end in zip(rows, ends, strict=True)]
    return [has_ended.cut(answer) for answer in answers] if has_ended else answers
