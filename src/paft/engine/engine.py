"""The engine: score and generate answers with a local model, and compute shared beginnings once."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from transformers import DynamicCache

from paft.engine import attention, block_sparse
from paft.engine.attention import dense_mask
from paft.engine.generation import TextStop, generate_packed, picker
from paft.engine.pack import Inputs, Row, answer_loss, common_prefix_length, packed, padded
from paft.errors import UserError, one_line
from paft.models.chat import ChatFormat
from paft.models.model import before_stop
from paft.models.thoughts import CLOSE, OPEN
from paft.types import Conversation, Generation
from paft.utils.device import default_batch_tokens, forked_rng
from paft.utils.hf_internals import attention_implementation

BatchFormat = Literal["tree", "dense", "padded"]
"""A packed tree with attention made for it, a packed tree with a dense mask, or right-padded rows."""

TREE_ATTENTION = {"cpu": attention, "cuda": block_sparse}
"""The module with the attention for a packed tree on each kind of device; any other takes a dense mask."""

MOST_ROWS = 64
"""Rows that are generated together, at most."""


class Engine:
    """A model with its chat format.

    Args:
        model: a causal language model of transformers, or one wrapped by PEFT.
        format: how conversations become tokens.
        batch_tokens: tokens of one forward; by default 1,024 on a CPU and 16,384 on an accelerator.
        say: called with a message if the model cannot run in the fastest batch format.
    """

    def __init__(
        self, model: Any, format: ChatFormat, batch_tokens: int | None = None, say: Callable[[str], None] = print
    ):
        self.model = model
        self.format = format
        self.say = say
        self.batch_tokens = batch_tokens or default_batch_tokens(model.device)
        self.batch_format: BatchFormat | None = None
        """How rows become one batch; None until :meth:`choose_batch_format` has seen a real one."""

    def row(self, prompt: list[int], answer: str) -> Row:
        """Return a prompt with an answer and its end, the form used in training."""
        ids = self.format.answer(answer) + self.format.end
        return Row(prompt + ids, len(ids))

    def inputs(self, rows: Sequence[Row]) -> Inputs:
        """Return rows as a batch in the model's format, on the CPU."""
        if self.batch_format != "padded":
            return self.packed(rows)
        tokenizer = self.format.tokenizer
        return padded(rows, tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.format.end[0])

    def packed(self, rows: Sequence[Row], cached: int = 0) -> Inputs:
        """Return rows as one tree; the first ``cached`` tokens of every row are already in the model's cache."""
        return self.masked(packed(rows, cached))

    def masked(self, inputs: Inputs) -> Inputs:
        """Return a tree's inputs with the mask that the batch format requires."""
        if self.batch_format == "dense":
            queries = inputs["input_ids"].shape[1]
            inputs["attention_mask"] = dense_mask(inputs["attention_mask"], queries, self.model.dtype)
        return inputs

    def choose_batch_format(self, rows: Sequence[Row], gradients: bool = False) -> None:
        """Choose the batch format once: the fastest one that gives these rows the same result as right-padding.

        Args:
            gradients: compute gradients too. On a GPU their kernels are compiled separately and may fail.
        """
        if self.batch_format is None:
            training = self.model.training
            self.model.eval()  # with dropout, no two results are equal
            try:
                self._choose_batch_format(rows)
            finally:
                self.model.train(training)
        if gradients and self.batch_format == "tree" and any(p.requires_grad for p in self.model.parameters()):
            try:
                inputs = {name: tensor.to(self.model.device) for name, tensor in self.inputs(rows).items()}
                labels = inputs.pop("labels")
                answer_loss(self.forward(inputs), labels, None).backward()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.batch_format = "dense"
                self._base.set_attn_implementation("sdpa")
                self.say(f"this model is trained with a dense attention mask, which is slower: {one_line(error)}")
            self.model.zero_grad()

    def _choose_batch_format(self, rows: Sequence[Row]) -> None:
        reason = self._cannot_pack()
        if reason is None:
            self.batch_format = "padded"
            reference = torch.cat(self.log_probs(rows))
            module = TREE_ATTENTION.get(self.model.device.type)
            own = attention_implementation(self._base)
            own = "sdpa" if own in (attention.NAME, block_sparse.NAME) else own  # set by another engine
            for self.batch_format in ("tree", "dense"):
                if self.batch_format == "tree" and (own != "sdpa" or module is None):
                    continue
                self._base.set_attn_implementation(module.NAME if self.batch_format == "tree" and module else own)
                reason = self._differs(rows, reference)
                if reason is None:
                    return
        self.batch_format = "padded"
        self.say(f"this model runs with right-padded batches, which is slower: {reason}")

    def _differs(self, rows: Sequence[Row], reference: torch.Tensor) -> str | None:
        try:
            difference = (torch.cat(self.log_probs(rows)) - reference).abs().mean().item()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            return f"its forward fails on packed rows ({one_line(error, 120)})"
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.2  # equal except for rounding
        if difference < tolerance:
            return None
        return f"packed and padded log-probabilities differ by {difference:.3g} on average"

    def _cannot_pack(self) -> str | None:
        config = self.model.config.get_text_config()
        needed = ("position_ids", "logits_to_keep", "attention_mask")
        missing = [name for name in needed if name not in self._accepted]
        if missing:
            return f"its forward has no argument {' and no argument '.join(missing)}"
        layers = set(getattr(config, "layer_types", None) or ["full_attention"])
        if layers != {"full_attention"}:
            return f"it has {', '.join(sorted(layers - {'full_attention'}))} layers"
        if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
            return "it attends within a sliding window"
        if "local" in getattr(config, "attention_layers", ()):
            return "it has local attention layers"
        return "its positions are ALiBi biases" if getattr(config, "alibi", False) else None

    @torch.no_grad()
    def log_probs(self, rows: Sequence[Row], cache: DynamicCache | None = None) -> list[torch.Tensor]:
        """Return, for each row, the log-probability of each of its answer tokens, float32 ``(answer,)``.

        Args:
            cache: keys and values of tokens that begin every row; unchanged afterwards.
        """
        cached = cache.get_seq_length() if cache is not None else 0
        inputs, cache = (self.packed(rows, cached), cache) if cached else (self.inputs(rows), None)
        inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        labels = inputs.pop("labels")
        inputs["logits_to_keep"], place = inputs["logits_to_keep"].unique(return_inverse=True)
        logits = self.forward(inputs, cache)
        if cache is not None:
            cache.crop(cached - cache.get_seq_length())
        row = torch.arange(len(labels), device=labels.device)[:, None]
        scores = logits[row, place, labels.clamp(min=0)].float() - logits.float().logsumexp(-1)[:, place]
        return list(scores[labels != -100].cpu().split([row.answer for row in rows]))

    def forward(self, inputs: Inputs, cache: DynamicCache | None = None) -> torch.Tensor:
        """Return the logits at the kept positions."""
        more = {"past_key_values": cache, "use_cache": True} if cache is not None else {"use_cache": False}
        if self.keeps_logits:
            return self.model(**inputs, **more).logits
        keep = inputs.pop("logits_to_keep")
        return self.model(**inputs, **more).logits[:, keep]

    @property
    def keeps_logits(self) -> bool:
        """Whether the model's forward can compute logits at chosen positions only, which training requires."""
        return "logits_to_keep" in self._accepted

    @property
    def _accepted(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the model's forward; PEFT's wrapper passes all of its arguments on."""
        return inspect.signature(self._base.forward).parameters

    @property
    def _base(self) -> Any:
        """The model of transformers, inside PEFT's wrapper if there is one."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @torch.no_grad()
    def cache(self, ids: Sequence[int]) -> DynamicCache | None:
        """Return keys and values of tokens that begin many rows; None if rows are padded."""
        if self.batch_format == "padded":
            return None
        cache = DynamicCache(config=self.model.config)
        if not ids:
            return cache
        inputs = torch.tensor([list(ids)], device=self.model.device)
        self.forward({"input_ids": inputs, "logits_to_keep": torch.tensor([0], device=self.model.device)}, cache)
        return cache

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihoods of each conversation's options, in batches, in order.

        The score of an option is the sum over its tokens. If one option's tokens begin another's, the end of the
        answer counts as a token of each; otherwise the shorter option would always win.
        """
        encoded = {text: self.format.answer(text) for opts in options for text in opts}
        prompts = self.encode(conversations, longest=max(map(len, encoded.values())) + len(self.format.end))
        questions = [
            [Row(prompt + answer, len(answer)) for answer in self._answers([encoded[text] for text in opts])]
            for prompt, opts in zip(prompts, options, strict=True)
        ]
        self.choose_batch_format([row for question in questions[:2] for row in question[:2]])
        cache = self.cache(_shared(prompts))
        for batch in self._batches(questions, cache.get_seq_length() if cache is not None else 0):
            rows = [row for question in batch for row in question]
            sums = iter([float(scores.sum()) for scores in self.log_probs(rows, cache)])
            yield [[next(sums) for _ in question] for question in batch]

    def _answers(self, options: list[list[int]]) -> list[list[int]]:
        prefix = any(long != short and long[: len(short)] == short for short in options for long in options)
        return [ids + self.format.end for ids in options] if prefix else options

    def _batches(self, questions: list[list[Row]], cached: int) -> Iterator[list[list[Row]]]:
        """Cut questions into batches of at most ``batch_tokens`` new tokens, at least one question each."""
        batch: list[list[Row]] = []
        room = self.batch_tokens
        for question in questions:
            if self.batch_format != "padded":
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
    def generate(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int,
        stop: Sequence[str] = (),
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Iterator[list[Generation]]:
        """Yield answers, in batches, in order; each row stops at the end of its answer.

        Args:
            stop: a row also ends where it has written one of these texts; the answer is what comes before it. In
                thoughts they are ordinary text.
            temperature: 0 for the most likely token at each step; otherwise tokens are sampled with the seed.
        """
        prompts = self.encode(conversations, longest=max_new_tokens, thinking=self.thinks)
        self.choose_batch_format([Row(prompt, 1) for prompt in prompts[:4]])
        stops = self.stops
        has_ended = TextStop(self.format.decode, stop) if stop and not self.thinks else None  # no end of thoughts
        cache = self.cache(_shared(prompts))
        for start, batch in self._generation_batches(prompts, cache.get_seq_length() if cache is not None else 0):
            if cache is None:
                answers = self._generate_padded(batch, max_new_tokens, stops, has_ended, temperature, seed + start)
            else:
                answers = generate_packed(
                    self, batch, cache, max_new_tokens, stops, picker(temperature, seed + start), has_ended
                )
            yield [self._generation(ids, stops, stop) for ids in answers]

    def _generation(self, ids: list[int], stops: set[int], stop: Sequence[str]) -> Generation:
        ended = ids[-1] in stops
        whole = self.format.decode(ids[:-1] if ended else ids)
        text = before_stop(whole, stop)
        if self.thinks:  # the prompt has opened the thought, and a reader of the text has to know
            thoughts, close, answer = (OPEN + whole).partition(CLOSE)
            text, whole = thoughts + close + before_stop(answer, stop), OPEN + whole
        return Generation(text, len(ids), "stop" if ended or len(text) < len(whole) else "length")

    @property
    def stops(self) -> set[int]:
        """The tokens that end an answer."""
        own = self.model.generation_config.eos_token_id  # a number, a list or None
        tokenizer = self.format.tokenizer
        return {self.format.end[0], tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}

    @property
    def thinks(self) -> bool:
        """Whether generated text begins inside a thought that the chat template opens.

        Answers are trained after an empty thought, so a model with an adapter continues there.
        """
        adapted = hasattr(self.model, "get_base_model") or getattr(self.model, "has_merged_adapter", False)
        return bool(self.format.thought) and not adapted

    def _generation_batches(self, prompts: list[list[int]], cached: int) -> Iterator[tuple[int, list[list[int]]]]:
        """Cut prompts into batches, each with the index of its first prompt.

        A batch has four times the tokens of a scoring batch: each step is one forward, however many rows it has.
        """
        start, room = 0, 4 * self.batch_tokens
        most = 1 if self.model.config.model_type == "rwkv" else MOST_ROWS  # its rows affect each other
        for index, prompt in enumerate(prompts):
            size = len(prompt) - cached
            if index > start and (size > room or index - start == most):
                yield start, prompts[start:index]
                start, room = index, 4 * self.batch_tokens
            room -= size
        yield start, prompts[start:]

    def _generate_padded(
        self,
        prompts: list[list[int]],
        max_new_tokens: int,
        stops: set[int],
        has_ended: TextStop | None,
        temperature: float,
        seed: int,
    ) -> list[list[int]]:
        tokenizer = self.format.tokenizer
        length = max(map(len, prompts))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.format.end[0]
        ids = torch.tensor([[pad] * (length - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        # An index, where transformers takes a slice: with a slice in bfloat16, torch on a CPU copies the output
        # weights for each row.
        last = {"logits_to_keep": torch.tensor([-1], device=self.model.device)} if self.keeps_logits else {}
        with forked_rng(self.model.device, enabled=temperature > 0):
            if temperature > 0:
                torch.manual_seed(seed)
            output = self.model.generate(
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

    def encode(
        self, conversations: Sequence[Conversation], longest: int, *, thinking: bool = False
    ) -> list[list[int]]:
        """Return the token ids of the prompts.

        Args:
            longest: tokens of the longest answer.
            thinking: end inside the thought that the chat template opens, instead of after an empty one.

        Raises:
            UserError: a prompt and its answer need more positions than the model has.
        """
        prompts = self.format.prompts(conversations, thinking=thinking)
        if (most := max(map(len, prompts))) + longest > self.positions:
            raise UserError(
                f"a question of {most} tokens and an answer of up to {longest} do not fit the model's "
                f"{self.positions} positions; leave such examples out, or lower evaluation.max_new_tokens"
            )
        return prompts

    @property
    def positions(self) -> int:
        """The longest sequence that the model takes, in tokens."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31


def _shared(prompts: list[list[int]]) -> list[int]:
    """Return the tokens that all prompts begin with, at most all but one of the shortest prompt."""
    first, last = min(prompts), max(prompts)  # all prompts share what these two share
    return first[: min(common_prefix_length(first, last), len(min(prompts, key=len)) - 1)]
