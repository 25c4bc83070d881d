"""The engine: score answers and generate them with a model that is at hand, the shared work done once."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from paft.engine.chat import ChatFormat
from paft.engine.pack import Inputs, Row, packed, padded
from paft.errors import UserError
from paft.types import Conversation


@dataclass(frozen=True, slots=True)
class Generation:
    """A generated answer and how many tokens it took, the end token included."""

    text: str
    tokens: int


class Engine:
    """A model with its chat format.

    Args:
        model: a causal language model of transformers, or one wrapped by PEFT.
        format: how conversations become tokens.
        batch_tokens: tokens of one forward; by default 512 on a CPU and 16,384 on a GPU.
        say: takes a line on how the model is run.
    """

    def __init__(
        self, model: Any, format: ChatFormat, batch_tokens: int | None = None, say: Callable[[str], None] = print
    ):
        self.model = model
        self.format = format
        self.say = say
        self.batch_tokens = batch_tokens or (16_384 if model.device.type == "cuda" else 512)
        self.packs: bool | None = None
        """Whether rows are packed; None until :meth:`choose_layout` has seen a real batch."""

    def row(self, prompt: list[int], answer: str) -> Row:
        """Return a prompt with an answer and its end, as it is trained on."""
        ids = self.format.answer(answer) + self.format.end
        return Row(prompt + ids, len(ids))

    def inputs(self, rows: Sequence[Row]) -> Inputs:
        """Lay rows out the way the model takes them, on the CPU."""
        if self.packs:
            return packed(rows, self.model.dtype)
        tokenizer = self.format.tokenizer
        return padded(rows, tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.format.end[0])

    def choose_layout(self, rows: Sequence[Row]) -> None:
        """Decide once between packed and padded by computing these rows both ways."""
        if self.packs is not None:
            return
        reason = self._cannot_pack()
        if reason is None:
            self.packs = True
            one = torch.cat(self.log_probs(rows))
            self.packs = False
            other = torch.cat(self.log_probs(rows))
            tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.2  # rounding apart, they are equal
            difference = (one - other).abs().mean().item()
            if not difference < tolerance:
                reason = f"packed and padded log-probabilities differ by {difference:.3g} on average"
        self.packs = reason is None
        if reason:
            self.say(f"this model is run the padded way, which is slower: {reason}")

    def _cannot_pack(self) -> str | None:
        config = self.model.config.get_text_config()
        needed = ("position_ids", "logits_to_keep", "attention_mask")
        missing = [name for name in needed if name not in self._accepted]
        if missing:
            return f"its forward takes no {' and no '.join(missing)}"
        layers = set(getattr(config, "layer_types", None) or ["full_attention"])
        if layers != {"full_attention"}:
            return f"it has {', '.join(sorted(layers - {'full_attention'}))} layers"
        if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
            return "it attends within a sliding window"
        return "its positions are ALiBi biases" if getattr(config, "alibi", False) else None

    @torch.no_grad()
    def log_probs(self, rows: Sequence[Row], cache: DynamicCache | None = None) -> list[torch.Tensor]:
        """Return, for each row, the log-probability of each of its answer tokens, float32 ``(answer,)``.

        Args:
            cache: keys and values of tokens that begin every row; left as it was found.
        """
        cached = cache.get_seq_length() if cache is not None else 0
        inputs = packed(rows, self.model.dtype, cached) if cached else self.inputs(rows)
        inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        labels = inputs.pop("labels")
        inputs["logits_to_keep"], place = inputs["logits_to_keep"].unique(return_inverse=True)
        logits = self._forward(inputs, cache).float()
        if cache is not None:
            cache.crop(cached - cache.get_seq_length())
        scores = logits.log_softmax(-1)[:, place].gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        return list(scores[labels != -100].cpu().split([row.answer for row in rows]))

    def _forward(self, inputs: Inputs, cache: DynamicCache | None = None) -> torch.Tensor:
        more = {"past_key_values": cache, "use_cache": True} if cache is not None else {"use_cache": False}
        if "logits_to_keep" in self._accepted:
            return self.model(**inputs, **more).logits
        keep = inputs.pop("logits_to_keep")
        return self.model(**inputs, **more).logits[:, keep]

    @property
    def _accepted(self) -> Mapping[str, inspect.Parameter]:
        """The arguments that the model's forward takes; PEFT's wrapper passes on what it is given."""
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return inspect.signature(model.forward).parameters

    @torch.no_grad()
    def _cache(self, ids: Sequence[int]) -> DynamicCache | None:
        """Compute tokens that many rows begin with."""
        if not ids or not self.packs:
            return None
        cache = DynamicCache(config=self.model.config)
        inputs = torch.tensor([list(ids)], device=self.model.device)
        self._forward({"input_ids": inputs, "logits_to_keep": torch.tensor([0], device=self.model.device)}, cache)
        return cache

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihoods of each conversation's options, in batches, in order.

        The score of an option is the sum over its tokens; where one option's tokens begin another's, the end of
        the answer counts as a token of each, or the shorter one would always win.
        """
        encoded = {text: self.format.answer(text) for opts in options for text in opts}
        prompts = self._fitting(conversations, longest=max(map(len, encoded.values())) + len(self.format.end))
        questions = [
            [Row(prompt + answer, len(answer)) for answer in self._answers([encoded[text] for text in opts])]
            for prompt, opts in zip(prompts, options, strict=True)
        ]
        self.choose_layout(questions[0])
        first, last = min(prompts), max(prompts)  # what these two share, all share
        cache = self._cache(first[: min(_common(first, last), len(min(prompts, key=len)) - 1)])
        for batch in self._batches(questions, cache.get_seq_length() if cache is not None else 0):
            rows = [row for question in batch for row in question]
            sums = iter([float(scores.sum()) for scores in self.log_probs(rows, cache)])
            yield [[next(sums) for _ in question] for question in batch]

    def _answers(self, options: list[list[int]]) -> list[list[int]]:
        prefix = any(one != other and other[: len(one)] == one for one in options for other in options)
        return [ids + self.format.end for ids in options] if prefix else options

    def _batches(self, questions: list[list[Row]], cached: int) -> Iterator[list[list[Row]]]:
        """Cut questions into batches of at most ``batch_tokens`` new tokens, at least one question each."""
        batch: list[list[Row]] = []
        room = self.batch_tokens
        for question in questions:
            if self.packs:
                prompt = len(question[0].ids) - question[0].answer
                size = prompt - cached + sum(row.answer - 1 for row in question)
            else:
                size = sum(len(row.ids) for row in question)
            if batch and size > room:
                yield batch
                batch, room = [], self.batch_tokens
            batch.append(question)
            room -= size
        if batch:
            yield batch

    @torch.no_grad()
    def generate(self, conversations: Sequence[Conversation], max_new_tokens: int) -> Iterator[list[Generation]]:
        """Yield greedy answers, in batches, in order; a row ends at the end of its answer."""
        prompts = self._fitting(conversations, longest=max_new_tokens)
        size = max(1, self.batch_tokens * 2 // (max(map(len, prompts)) + min(max_new_tokens, 64)))
        for start in range(0, len(prompts), size):
            yield self._generate(prompts[start : start + size], max_new_tokens)

    def _generate(self, prompts: list[list[int]], max_new_tokens: int) -> list[Generation]:
        tokenizer = self.format.tokenizer
        stops = {self.format.end[0], tokenizer.eos_token_id} - {None}
        length = max(map(len, prompts))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.format.end[0]
        ids = torch.tensor([[pad] * (length - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            repetition_penalty=1.0,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(stops),
            pad_token_id=pad,
        )
        generations = []
        for new in output[:, length:].tolist():
            end = next((i for i, token in enumerate(new) if token in stops), len(new))
            generations.append(Generation(self.format.decode(new[:end]), min(end + 1, len(new))))
        return generations

    def _fitting(self, conversations: Sequence[Conversation], longest: int) -> list[list[int]]:
        """Return the prompts' ids; refuse those that the model's positions cannot hold."""
        prompts = self.format.prompts(conversations)
        too_long = [len(p) for p in prompts if len(p) + longest > self.positions]
        if too_long:
            raise UserError(
                f"{len(too_long)} of {len(prompts)} test questions do not fit the model's {self.positions} "
                f"positions (longest {max(too_long)} tokens and up to {longest} for the answer); leave them out"
            )
        return prompts

    @property
    def positions(self) -> int:
        """How many tokens the model can take."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences share at their beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
