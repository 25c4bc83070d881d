"""The engine: score and generate answers with a local model, and compute shared beginnings once."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from transformers import DynamicCache

from paft.engine import attention, block_sparse
from paft.engine.attention import dense_mask
from paft.engine.batches import by_beginning, cut_into_batches, in_order
from paft.engine.generation import TextStop, generate_packed, generate_padded, picker
from paft.engine.pack import Inputs, Row, answer_loss, common_prefix_length, packed, padded, shared_beginning
from paft.engine.packable import attention_window, why_not_packed, with_distant_branch
from paft.errors import TooLongError, one_line
from paft.models.chat import Answers, ChatFormat
from paft.models.model import before_stop
from paft.models.thoughts import CLOSE, OPEN
from paft.types import Conversation, Generation
from paft.utils.device import default_batch_tokens
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
        self.window = attention_window(model.config.get_text_config())
        """The most tokens of a row that is packed, the last one not counted; longer rows are right-padded."""
        self._said_longer = False

    def row(self, prompt: list[int], answer: str) -> Row:
        """Return a prompt with an answer and its end, the form used in training."""
        ids = self.format.answer(answer) + self.format.end
        return Row(prompt + ids, len(ids))

    def inputs(self, rows: Sequence[Row]) -> Inputs:
        """Return rows as a batch in the model's format, on the CPU; right-padded if one exceeds its window."""
        if all([self.packs(len(row.ids) - 1) for row in rows]):
            return self.packed(rows)
        tokenizer = self.format.tokenizer
        return padded(rows, tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.format.end[0])

    def packs(self, tokens: int) -> bool:
        """Return True if a row of so many tokens is packed; the first one that exceeds the window is reported."""
        if self.batch_format == "padded":
            return False
        if self.window is None or tokens <= self.window:
            return True
        if not self._said_longer:
            self._said_longer = True
            self.say(
                f"rows longer than this model's attention window of {self.window} tokens run with right-padded "
                f"batches, which is slower; the first has {tokens}"
            )
        return False

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
        rows = [self._cut(row) for row in rows]
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
                self.say(f"this model is trained with a dense attention mask, which is slower: {one_line(error)}")
                self._choose_batch_format(rows, ("dense",))
            self.model.zero_grad()

    def _cut(self, row: Row) -> Row:
        """Return a row without what exceeds the window."""
        if self.window is None or len(row.ids) - 1 <= self.window:
            return row
        return Row(row.ids[: self.window + 1], min(row.answer, self.window))

    def _choose_batch_format(
        self, rows: Sequence[Row], formats: Sequence[BatchFormat] = ("tree", "dense")
    ) -> None:
        reason = why_not_packed(self.model.config.get_text_config(), self._accepted)
        if reason is None:
            module = TREE_ATTENTION.get(self.model.device.type)
            own = attention_implementation(self._base, (attention.NAME, block_sparse.NAME))  # of another engine
            for self.batch_format in formats:
                if self.batch_format == "tree" and (module is None or own not in module.REPLACES):
                    continue
                name = module.NAME if self.batch_format == "tree" and module else own
                reason = self._differs(rows, own, name)
                if reason is None:
                    return
        self.batch_format = "padded"
        self.say(f"this model runs with right-padded batches, which is slower: {reason}")

    def _differs(self, rows: Sequence[Row], own: str, name: str) -> str | None:
        """Return how rows packed for an attention function differ from padded ones; None if only by rounding.

        Args:
            own: the model's own attention function, which computes the padded rows.
        """
        self._base.set_attn_implementation(own)
        distance = max(len(row.ids) for row in rows) - 1
        if self.window is not None and self.batch_format == "dense":  # the tree's attention checks its mask itself
            if self.window > self.batch_tokens:
                return f"its window of {self.window} tokens is too long to check that a dense mask is obeyed"
            distance = self.window
        rows = with_distant_branch(rows, distance)
        chosen, self.batch_format = self.batch_format, "padded"
        reference = torch.cat(self.log_probs(rows))
        self._base.set_attn_implementation(name)
        try:
            longer = torch.cat(self.log_probs(rows)) if own not in (name, "sdpa") else reference  # padded as well
            self.batch_format = chosen
            found = torch.stack([longer, torch.cat(self.log_probs(rows))])
            difference = (found - reference).abs().mean(1).max().item()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            return f"its forward fails on packed rows ({one_line(error, 120)})"
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.2  # equal except for rounding
        if difference < tolerance:
            return None
        return f"packed and padded log-probabilities differ by {difference:.3g} on average"

    @torch.no_grad()
    def log_probs(self, rows: Sequence[Row], cache: DynamicCache | None = None) -> list[torch.Tensor]:
        """Return, for each row, the log-probability of each of its answer tokens, float32 ``(answer,)``.

        Args:
            cache: keys and values of tokens that begin every row; unchanged afterwards.
        """
        fits = [self.packs(len(row.ids) - 1) for row in rows]
        if any(fits) and not all(fits):
            parts = {
                fit: [row for row, each in zip(rows, fits, strict=True) if each == fit] for fit in (True, False)
            }
            found = {fit: iter(self.log_probs(part, cache)) for fit, part in parts.items()}
            return [next(found[fit]) for fit in fits]
        cache = cache if all(fits) else None
        cached = cache.get_seq_length() if cache is not None else 0
        inputs, cache = (self.packed(rows, cached), cache) if cached else (self.inputs(rows), None)
        inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        labels = inputs.pop("labels")
        lines = [0]
        if "position_ids" not in inputs:  # rows that differ in their last token alone share a line
            first: dict[tuple[int, ...], int] = {}
            lines = [first.setdefault(tuple(row.ids[:-1]), len(first)) for row in rows]
            kept = [lines.index(line) for line in first.values()]
            inputs |= {name: inputs[name][kept] for name in ("input_ids", "attention_mask")}
        inputs["logits_to_keep"], place = inputs["logits_to_keep"].unique(return_inverse=True)
        logits = self.forward(inputs, cache)
        if cache is not None:
            cache.crop(cached - cache.get_seq_length())
        line = torch.tensor(lines, device=labels.device)[:, None]
        scores = logits[line, place, labels.clamp(min=0)].float() - logits.float().logsumexp(-1)[line, place]
        return list(scores[labels != -100].cpu().split([row.answer for row in rows]))

    def forward(self, inputs: Inputs, cache: DynamicCache | None = None) -> torch.Tensor:
        """Return the logits at the kept positions."""
        more = {"use_cache": False} if cache is None else self.cache_arguments(cache)
        if self.keeps_logits:
            return self.model(**inputs, **more).logits
        keep = inputs.pop("logits_to_keep")
        return self.model(**inputs, **more).logits[:, keep]

    def cache_arguments(self, cache: DynamicCache) -> dict[str, Any]:
        """Return the arguments that let the model's forward use a cache."""
        name = "cache" if "cache" in self._accepted else "past_key_values"  # renamed in transformers 5.24
        return {"use_cache": True, name: cache}

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

    def cache(self, ids: Sequence[int], gradients: bool = False) -> DynamicCache | None:
        """Return keys and values of tokens that begin many rows; None if rows are padded.

        Args:
            gradients: whether gradients flow through the keys and values to the weights that require them.
        """
        if not self.packs(len(ids)):
            return None
        # without the config, which would drop keys by their packed index
        cache = DynamicCache(config=self.model.config if self.window is None else None)
        if not ids:
            return cache
        inputs = torch.tensor([list(ids)], device=self.model.device)
        with torch.set_grad_enabled(gradients):
            self.forward(
                {"input_ids": inputs, "logits_to_keep": torch.tensor([0], device=self.model.device)}, cache
            )
        return cache

    def score(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> Iterator[list[list[float]]]:
        """Yield the log-likelihoods of each conversation's options, in batches, in order.

        The score of an option is the sum over its tokens, and those of the end where one option begins another.
        """
        answers = self.format.answers(options)
        longest = max(len(ids) for row, _ in answers for ids in row) + len(self.format.end)
        prompts = self.encode(conversations, longest=longest)
        questions = self.questions(prompts, answers)
        self.choose_batch_format([row for question in questions[:2] for row in question[:2]])
        cache = self.cache(shared_beginning(prompts))

        def batches() -> Iterator[tuple[list[int], list[list[float]]]]:
            for batch in self._batches(questions, cache.get_seq_length() if cache is not None else 0):
                rows = [row for index in batch for row in questions[index]]
                sums = iter([float(scores.sum()) for scores in self.log_probs(rows, cache)])
                yield batch, [[next(sums) for _ in questions[index]] for index in batch]

        yield from in_order(batches())

    def questions(self, prompts: Sequence[list[int]], answers: Sequence[Answers]) -> list[list[Row]]:
        """Return the rows of each question: its prompt with each of its options."""
        return [
            [Row(prompt + ids + end, len(ids + end)) for ids in options]
            for prompt, (options, end) in zip(prompts, answers, strict=True)
        ]

    def _batches(self, questions: list[list[Row]], cached: int) -> Iterator[list[int]]:
        """Cut questions into batches of at most ``batch_tokens`` new tokens, at least one question each.

        Yields:
            The indices of each batch's questions.
        """
        prompts = [question[0].ids[: -question[0].answer] for question in questions]

        def size(index: int, before: int | None) -> int:
            question, prompt = questions[index], prompts[index]
            if not self.packs(max(len(row.ids) for row in question) - 1):
                return sum(map(len, {tuple(row.ids[:-1]) for row in question}))
            shared = cached if before is None else common_prefix_length(prompts[before], prompt)
            return len(prompt) - shared + sum(row.answer - 1 for row in question)

        return cut_into_batches(by_beginning(prompts, cached), size, self.batch_tokens)

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
        cache = self.cache(shared_beginning(prompts))

        def batches() -> Iterator[tuple[list[int], list[Generation]]]:
            for batch in self._generation_batches(prompts, cache.get_seq_length() if cache is not None else 0):
                fits = {i: cache is not None and self.packs(len(prompts[i]) + max_new_tokens - 1) for i in batch}
                for fit in set(fits.values()):
                    indices = [index for index in batch if fits[index] == fit]
                    part, first = [prompts[index] for index in indices], seed + indices[0]
                    if fit and cache is not None:
                        pick = picker(temperature, first)
                        found = generate_packed(self, part, cache, max_new_tokens, stops, pick, has_ended)
                    else:
                        found = generate_padded(self, part, max_new_tokens, stops, has_ended, temperature, first)
                    yield indices, [self._generation(ids, stops, stop) for ids in found]

        yield from in_order(batches())

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

    def _generation_batches(self, prompts: list[list[int]], cached: int) -> Iterator[list[int]]:
        """Cut prompts into batches; yield the indices of each.

        A batch has four times the tokens of a scoring batch: each step is one forward, however many rows it has.
        """
        most = 1 if self.model.config.model_type == "rwkv" else MOST_ROWS  # its rows affect each other

        def size(index: int, before: int | None) -> int:
            prompt = prompts[index]
            if before is None or not self.packs(len(prompt)):
                return len(prompt) - cached
            return len(prompt) - common_prefix_length(prompts[before], prompt)

        return cut_into_batches(by_beginning(prompts, cached), size, 4 * self.batch_tokens, most)

    def encode(
        self, conversations: Sequence[Conversation], longest: int, *, thinking: bool = False
    ) -> list[list[int]]:
        """Return the token ids of the prompts.

        Args:
            longest: tokens of the longest answer.
            thinking: end inside the thought that the chat template opens, instead of after an empty one.

        Raises:
            TooLongError: a prompt and its answer need more positions than the model has.
        """
        prompts = self.format.prompts(conversations, thinking=thinking)
        lengths = [len(prompt) for prompt in prompts]
        if (most := max(lengths)) + longest > self.positions:
            problem = f"a question of {most} tokens and an answer of up to {longest} do not fit the model's "
            fix = f"{self.positions} positions; leave such examples out, or lower evaluation.max_new_tokens"
            raise TooLongError(problem + fix, lengths.index(most))
        return prompts

    @property
    def positions(self) -> int:
        """The longest sequence that the model takes, in tokens."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
