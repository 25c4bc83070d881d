"""How much memory a run will take, from the shapes of its largest training step and scoring batches.

The model is built on torch's meta device, where tensors have shapes and no numbers. Forward and backward then run
with the run's own rows, and the bytes of the tensors that are alive are counted. The process takes more: what its
packages take, and what the allocator does not reuse.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache

from paft.config.model import ModelConfig
from paft.config.schema import Config, LoraSection, TrainingConfig
from paft.engine import attention
from paft.engine.engine import Engine
from paft.engine.pack import Inputs, Row, answer_loss, shared_beginning
from paft.engine.packable import why_not_packed
from paft.methods.method import Method
from paft.methods.registry import Variant
from paft.models.chat import ChatFormat
from paft.models.load import model_folder
from paft.prompts.template import render
from paft.runs.data import RunData
from paft.training.data import BatchBuilder, EpochDataset
from paft.training.lora import add_adapter
from paft.training.parts import StepShape, make_parts
from paft.training.samplers import PromptSampler, with_prompts_per_step
from paft.types import Conversation
from paft.utils.device import compute_dtype, default_batch_tokens, pick_device
from paft.utils.hf_internals import shape_of_quantized
from paft.utils.live_memory import LiveMemory

STEPS = 50
"""Training steps that are looked at, spread over the training, to find the largest."""

ALLOCATED = 1.4
"""Memory that the process takes for each byte of tensors; measured on Linux with SmolLM2-135M, steps of 266 to
1,226 tokens (1.36 to 1.44). Most of it is freed memory of another size that the allocator keeps."""

LOADED = 2.0
"""Memory that loading a quantised model leaves to the process, for each byte of the model in its dtype; measured
with SmolLM2-135M in 4 and 8 bits."""


REPORT = 0.3e9
"""Bytes that the report, whose figure a browser engine draws, and torch's first operations add to the packages:
what runs with a tiny model take (0.28 to 0.41 GB)."""


@dataclass(frozen=True)
class MemoryEstimate:
    """The peak memory of a part of a run, in bytes, what takes it, and which setting lowers it."""

    what: str
    peak: float
    detail: str
    remedy: str


class ShapeEngine(Engine):
    """The engine on a model without numbers.

    Attributes:
        packages: memory of a process that has imported what a run imports, in bytes.
    """

    packages: int

    def choose_by_config(self) -> None:
        """Choose the batch format that most models of this architecture get, without comparing results."""
        reason = why_not_packed(self.model.config.get_text_config(), self._accepted)
        self.batch_format = "padded" if reason else "tree"
        if self.batch_format == "tree":
            self._base.set_attn_implementation(attention.NAME)

    def on_meta(self, inputs: Inputs) -> Inputs:
        """Return inputs without numbers, but for a tree's mask, which the attention reads; padding has no mask."""
        mask = inputs.get("attention_mask")
        moved = {k: v.to("meta") for k, v in inputs.items() if k not in ("attention_mask", "rows")}
        return moved | ({"attention_mask": mask} if mask is not None and self.batch_format == "tree" else {})

    def scored(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]]
    ) -> tuple[list[list[Row]], int]:
        """Return the rows of each scoring batch, and how many tokens all of them share."""
        prompts = self.format.prompts(conversations)
        questions = self.questions(prompts, self.format.answers(options))
        shared = self._shared_tokens(prompts)
        batches = self._batches(questions, shared)
        return [[row for index in batch for row in questions[index]] for batch in batches], shared

    def generated(self, conversations: Sequence[Conversation]) -> tuple[list[list[list[int]]], int]:
        """Return the prompts of each batch of generation, and how many tokens all of them share."""
        prompts = self.format.prompts(conversations)
        shared = self._shared_tokens(prompts)
        batches = self._generation_batches(prompts, shared)
        return [[prompts[index] for index in batch] for batch in batches], shared

    def _shared_tokens(self, prompts: list[list[int]]) -> int:
        return 0 if self.batch_format == "padded" else len(shared_beginning(prompts))


def estimate_memory(config: Config, variants: Sequence[Variant], data: RunData) -> list[MemoryEstimate]:
    """Return the peak memory of the run's largest training on right answers and of its evaluation, on a CPU.

    Raises:
        UserError: the model has no config or tokenizer that can be read.
    """
    assert isinstance(config.model, ModelConfig)
    import_module("paft.training.finetune")  # and with it the Trainer, as a run does
    packages = psutil.Process().memory_info().rss
    estimates: list[MemoryEstimate] = []
    trained = [
        variant
        for variant in variants
        if _trains_on_right_answers(variant) and data.prompts.of_key(variant.method.prompts_key)
    ]
    if trained:
        all_trained = [_training(config.model, variant, data, packages) for variant in trained]
        estimates.append(max(all_trained, key=lambda estimate: estimate.peak))
    if data.prompts.test:
        estimates.append(_evaluation(config, data, packages))
    return estimates


def not_estimated(variants: Sequence[Variant]) -> list[str]:
    """Return the names of the variants whose training is of another kind, such as on sampled answers."""
    return [v.name for v in variants if v.method.trains and not _trains_on_right_answers(v)]


def _trains_on_right_answers(variant: Variant) -> bool:
    return variant.method.trains and type(variant.method).train is Method.train


def _engine(
    config: ModelConfig, packages: int, *, batch_tokens: int | None = None, lora: LoraSection | None = None
) -> ShapeEngine:
    place = model_folder(config.path, lambda line: None, config.revision)
    pinned = {"revision": config.revision} if config.revision is not None else {}
    device = pick_device(config.device)
    dtype = compute_dtype(device) if config.dtype == "auto" else getattr(torch, config.dtype)
    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **pinned)
    settings = AutoConfig.from_pretrained(place, trust_remote_code=False, **pinned)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(settings, dtype=dtype).eval().requires_grad_(False)
        if config.quantization != "none":
            shape_of_quantized(model, config.quantization)
        if lora is not None:
            model = add_adapter(model, lora).train()
    format = ChatFormat(tokenizer, config.chat_template)
    engine = ShapeEngine(model, format, batch_tokens or default_batch_tokens(device), lambda line: None)
    engine.packages = packages
    engine.choose_by_config()
    return engine


def _training(config: ModelConfig, variant: Variant, data: RunData, packages: int) -> MemoryEstimate:
    """Return the estimate of a variant's training, and of two settings that change its memory, not its result."""
    training = variant.training
    engine = _engine(config, packages, lora=training.lora)
    peak, tokens = _step_peak(engine, config, training, variant, data)
    others = {}
    if training.batch_size > 1:
        size, steps = (training.batch_size + 1) // 2, training.gradient_accumulation_steps * 2
        changed = training.model_copy(update={"batch_size": size, "gradient_accumulation_steps": steps})
        setting = f"training.batch_size: {size} with gradient_accumulation_steps: {steps}"
        others[setting] = _step_peak(engine, config, changed, variant, data)[0]
    if not _checkpoints(training):  # last, as the engine's model keeps it
        changed = training.model_copy(update={"gradient_checkpointing": True})
        others["training.gradient_checkpointing: true"] = _step_peak(engine, config, changed, variant, data)[0]
    remedy = "; ".join(f"{setting} takes {_size(value)}" for setting, value in others.items() if value < peak)
    return MemoryEstimate("memory, training", peak, f"{variant.name}, steps of up to {tokens:,} tokens", remedy)


def _checkpoints(training: TrainingConfig) -> bool:
    extra = training.model_extra or {}
    return bool(extra.get("gradient_checkpointing") or extra.get("activation_checkpointing"))


def _step_peak(
    engine: ShapeEngine, config: ModelConfig, training: TrainingConfig, variant: Variant, data: RunData
) -> tuple[float, int]:
    """Return the peak of the largest of some steps, and its tokens."""
    inputs = max(_forwards(engine, training, variant, data), key=lambda inputs: inputs["input_ids"].numel())
    if _checkpoints(training):
        base = engine.model.get_base_model()
        enable = getattr(base, "activation_checkpointing_enable", base.gradient_checkpointing_enable)  # renamed
        enable({"use_reentrant": False, "preserve_rng_state": False})

    def step() -> None:
        moved = engine.on_meta(inputs)
        labels = moved.pop("labels")
        answer_loss(engine.forward(moved), labels, 1).backward()

    moments = sum(2 * p.nbytes for p in engine.model.parameters() if p.requires_grad)
    peak = _peak(engine, step) + moments
    engine.model.zero_grad()
    return _process(peak, config, engine), inputs["input_ids"].numel()


def _forwards(engine: ShapeEngine, training: TrainingConfig, variant: Variant, data: RunData) -> Iterable[Inputs]:
    """Yield the inputs of each forward of some steps, as the trainer of one process gets them."""
    examples = data.training_examples(variant)
    prompts = data.prompts.of_key(variant.method.prompts_key)
    accumulation = training.gradient_accumulation_steps
    step_size = training.batch_size * accumulation
    steps = -(-len(examples) // step_size)
    setting = with_prompts_per_step(training.sampler, training.prompts_per_step)
    shape = StepShape(step_size, accumulation, steps)
    parts = partial(
        make_parts,
        objective=training.objective,
        task=data.task,
        format=engine.format,
        prompts=prompts,
        shape=shape,
        K=training.K,
        seed=data.seed,
    )
    sampler, objective = parts(setting)
    if type(sampler).bind is not PromptSampler.bind:  # it draws by the losses of a model
        sampler, objective = parts(with_prompts_per_step("mixed", sampler.prompts_per_step))
    dataset = EpochDataset(
        examples, step_size, data.seed, training.batch_size, objective.prompts_per_example, training.group_by
    )
    builder = BatchBuilder(engine, data.task, (*prompts, *sampler.extra_prompts), sampler, dataset)
    every = max(1, steps * training.epochs // STEPS)
    for step in range(0, steps * training.epochs, every):
        epoch, place = divmod(step, steps)
        first = epoch * len(dataset) + place * step_size
        last = min(first + step_size, (epoch + 1) * len(dataset))
        items = [dataset[position] for position in range(first, last)]
        size = training.batch_size
        yield from builder([items[i : i + size] for i in range(0, len(items), size)])


def _evaluation(config: Config, data: RunData, packages: int) -> MemoryEstimate:
    """Return the estimate of the evaluation, and of half its ``batch_tokens``."""
    assert isinstance(config.model, ModelConfig)
    engine = _engine(config.model, packages, batch_tokens=config.evaluation.batch_tokens)
    peak = _evaluation_peak(engine, config, data)
    half = max(64, engine.batch_tokens // 2)
    detail = f"{config.evaluation.mode}, batches of {engine.batch_tokens:,} tokens"
    if config.evaluation.mode == "generate":
        detail += f", if all answers have {config.evaluation.max_new_tokens} tokens"
    engine.batch_tokens = half
    less = _evaluation_peak(engine, config, data)
    remedy = f"evaluation.batch_tokens: {half} takes {_size(less)}" if less < peak else ""
    return MemoryEstimate("memory, evaluation", peak, detail, remedy)


def _evaluation_peak(engine: ShapeEngine, config: Config, data: RunData) -> float:
    by_length = sorted(data.prompts.test, key=lambda prompt: len(prompt.text))
    candidates = [data.task.candidates(example) for example in data.test_examples]
    peaks = []
    for prompt in {by_length[0], by_length[-1]}:
        conversations = [render(prompt, data.task, example) for example in data.test_examples]
        if config.evaluation.mode == "likelihood":
            peaks.append(_scoring(engine, conversations, candidates))
        else:
            peaks.append(_generation(engine, conversations, config.evaluation.max_new_tokens))
    assert isinstance(config.model, ModelConfig)
    return _process(max(peaks), config.model, engine)


def _scoring(
    engine: ShapeEngine, conversations: Sequence[Conversation], candidates: Sequence[Sequence[str]]
) -> float:
    """Return the bytes of tensors in the scoring batch with the most answer tokens under a prompt."""
    batches, shared = engine.scored(conversations, candidates)
    rows = max(batches, key=lambda rows: sum(row.answer for row in rows))
    packed = engine.packed(rows, shared) if shared else engine.inputs(rows)
    packed["logits_to_keep"] = packed["logits_to_keep"].unique()

    def batch() -> None:
        moved = engine.on_meta(packed)
        del moved["labels"]
        cache = engine.cache(rows[0].ids[:shared]) if shared else None
        logits = engine.forward(moved, cache)
        logits.float().logsumexp(-1)

    with torch.no_grad():
        return _peak(engine, batch)


def _generation(engine: ShapeEngine, conversations: Sequence[Conversation], max_new_tokens: int) -> float:
    """Return the bytes of tensors in the largest batch of generation, with the keys and values of its answers."""
    batches, shared = engine.generated(conversations)
    prompts = max(batches, key=lambda prompts: sum(map(len, prompts)))
    rows = [Row([*prompt, 0], 1) for prompt in prompts]
    inputs = engine.packed(rows, shared) if shared else engine.inputs(rows)
    caches: list[DynamicCache] = []

    def batch() -> None:
        moved = engine.on_meta(inputs)
        del moved["labels"]
        cache = engine.cache(prompts[0][:shared]) or DynamicCache(config=engine.model.config)
        engine.forward(moved, cache)
        caches.append(cache)

    with torch.no_grad():
        peak = _peak(engine, batch)
    layers: Sequence[Any] = caches[0].layers
    kept = sum(part.nbytes for layer in layers for part in (layer.keys, layer.values))
    tokens = layers[0].keys.shape[0] * layers[0].keys.shape[2]
    return peak + kept * len(prompts) * max_new_tokens / tokens


def _peak(engine: ShapeEngine, work: Callable[[], None]) -> int:
    model = engine.model
    with torch.device("meta"), LiveMemory([*model.parameters(), *model.buffers()]) as memory:
        work()
    return memory.peak


def _process(tensors: float, config: ModelConfig, engine: ShapeEngine) -> float:
    """Return the memory of a process with these tensors, in bytes."""
    peak = ALLOCATED * tensors
    if config.quantization != "none":
        peak += LOADED * sum(p.numel() for p in engine.model.parameters()) * engine.model.dtype.itemsize
    return engine.packages + max(peak, REPORT)


def _size(value: float) -> str:
    return f"{value / 1e9:.2f} GB"
