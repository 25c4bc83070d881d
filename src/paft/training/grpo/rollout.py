"""Sampled answers: a rendered prompt is computed once for its group, and prompts share their beginnings."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from paft.engine.engine import MOST_ROWS, Engine
from paft.engine.generation import Pick, TextStop, generate_packed, picker
from paft.errors import UserError


@dataclass(frozen=True)
class SampledOutput:
    """What the model wrote.

    Attributes:
        ids: its tokens, the one that ended it included.
        log_probs: of each token at the temperature that it was sampled with, float32 ``(tokens,)``; none at 0.
        text: without the end.
        is_cut: it hit the limit of tokens.
    """

    ids: list[int]
    log_probs: torch.Tensor
    text: str
    is_cut: bool


class SeededPick:
    """Draws the next token of each row with random numbers of its own, and keeps its log-probability.

    So a row's answer depends on its seed, and not on the rows that are generated with it.

    Args:
        noise: ``(rows, tokens)``, uniform from 0 to 1.
    """

    def __init__(self, noise: torch.Tensor, temperature: float):
        self.noise, self.temperature = noise, temperature
        self.log_probs: list[list[float]] = [[] for _ in noise]
        self._step = 0

    def __call__(self, logits: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """Return the next token of each unfinished row, ``(rows,)``."""
        scores = (logits.float() / self.temperature).log_softmax(-1)
        below = scores.exp().cumsum(-1)
        height = self.noise[live, self._step].to(below.device)[:, None] * below[:, -1:]
        tokens = torch.searchsorted(below, height, right=True).clamp(max=logits.shape[-1] - 1)
        chosen = scores.gather(-1, tokens)[:, 0].tolist()
        for row, score in zip(live.tolist(), chosen, strict=True):
            self.log_probs[row].append(score)
        self._step += 1
        return tokens[:, 0]


@torch.no_grad()
def sample_groups(
    engine: Engine,
    prompts: Sequence[list[int]],
    seeds: Sequence[str],
    *,
    size: int,
    max_new_tokens: int,
    temperature: float,
    stop: Sequence[str] = (),
) -> list[list[SampledOutput]]:
    """Return a group of sampled answers for each prompt.

    Args:
        engine: its batch format is chosen.
        prompts: token ids.
        seeds: one for each prompt.
        size: answers in a group.
        temperature: 0 for the likeliest token at each step, whatever the seeds.
        stop: an answer also ends where one of these texts does; its text is what comes before.

    Raises:
        UserError: the model cannot be packed, or an answer may exceed its attention window.
    """
    longest = max(map(len, prompts), default=0)
    if engine.window is not None and longest + max_new_tokens - 1 > engine.window:
        raise UserError(
            f"method grpo: a prompt of {longest} tokens and an answer of {max_new_tokens} exceed this model's "
            f"attention window of {engine.window} tokens; lower max_completion_length, or leave out long prompts"
        )
    stops = engine.stops
    has_ended = TextStop(engine.format.decode, stop) if stop else None
    groups: list[list[SampledOutput]] = []
    is_training = engine.model.training
    engine.model.eval()
    try:
        for start, batch in _batches(prompts, size, 4 * engine.batch_tokens):
            cache = engine.cache([])
            if cache is None:
                raise UserError(
                    "method grpo: this model's rows cannot be packed, which sampling groups of answers requires; "
                    "train it with TRL's GRPOTrainer and paft.training.grpo.mixin.DynamicPromptGroups"
                )
            rows = [prompt for prompt in batch for _ in range(size)]
            pick: Pick = picker(0, seed=0)
            log_probs: list[list[float]] = [[] for _ in rows]
            if temperature > 0:
                own = seeds[start : start + len(batch)]
                pick = SeededPick(torch.cat([_noise(seed, size, max_new_tokens) for seed in own]), temperature)
                log_probs = pick.log_probs
            found = generate_packed(engine, rows, cache, max_new_tokens, stops, pick, has_ended)
            answers = [
                _answer(engine, ids, torch.tensor(scores), stops, has_ended, stop)
                for ids, scores in zip(found, log_probs, strict=True)
            ]
            groups += [answers[first : first + size] for first in range(0, len(answers), size)]
    finally:
        engine.model.train(is_training)
    return groups


def _answer(
    engine: Engine,
    ids: list[int],
    scores: torch.Tensor,
    stops: set[int],
    has_ended: TextStop | None,
    stop: Sequence[str],
) -> SampledOutput:
    is_ended = ids[-1] in stops
    text = engine.format.decode(ids[:-1] if is_ended else ids)
    is_cut = not is_ended and not (has_ended and has_ended(ids))
    for each in stop:
        text = text.partition(each)[0]
    return SampledOutput(ids, scores, text, is_cut)


def _batches(prompts: Sequence[list[int]], size: int, room: int) -> Iterator[tuple[int, Sequence[list[int]]]]:
    """Cut prompts into batches of whole groups, each with the index of its first prompt."""
    most, start, used = max(1, MOST_ROWS // size), 0, 0
    for index, prompt in enumerate(prompts):
        if index > start and (index - start == most or used + len(prompt) > room):
            yield start, prompts[start:index]
            start, used = index, 0
        used += len(prompt)
    if prompts:
        yield start, prompts[start:]


def _noise(seed: str, size: int, tokens: int) -> torch.Tensor:
    """Return uniform numbers ``(size, tokens)`` for the answers of a group."""
    digest = hashlib.sha256(seed.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.rand(size, tokens, generator=generator)
