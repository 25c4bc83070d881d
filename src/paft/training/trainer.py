"""Dynamic prompts for any trainer built on transformers.Trainer: paft's own, a plain one, TRL's SFTTrainer."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import torch
from accelerate.utils import reduce
from datasets import Dataset
from transformers import TrainerCallback, TrainingArguments

from paft.config.schema import TaskConfig
from paft.engine.engine import Engine
from paft.errors import UserError, WorkError
from paft.models.chat import ChatFormat
from paft.prompts.screen import counts, screen
from paft.tasks.load import task_of_rows
from paft.training.data import (
    BatchBuilder,
    EpochDataset,
    EpochSampler,
    Item,
    PromptData,
    RowTags,
    StepStats,
    as_items,
    rows,
)
from paft.training.noise import PromptNoise
from paft.training.objectives import loss_of
from paft.training.parts import StepShape, make_parts
from paft.training.prefix import SharedPrefix, can_share_prefix
from paft.training.probe import ModelLosses
from paft.training.samplers import PromptSampler
from paft.types import Prompt
from paft.utils.hf_internals import prepare_own_loss, train_on_device, use_exact_products
from paft.utils.plugins import Part, user_code

NOT_USED = {
    "model": "it is that of prompt_data",
    "train_dataset": "the examples are those of prompt_data",
    "data_collator": "prompts are drawn and packed for each step",
    "eval_dataset": "there is no evaluation during training; measure the adapter with `paft evaluate`",
    "compute_metrics": "there is no evaluation during training; measure the adapter with `paft evaluate`",
    "compute_loss_func": "the loss is that of prompt_data's objective; pass one of your own there",
    "formatting_func": "prompts are filled from the rows of prompt_data",
}
"""Arguments of the trainers that would have no effect, with the reason."""

ANOTHER_LOSS = (
    "label_smoothing_factor",
    "loss_type",
    "assistant_only_loss",
    "completion_only_loss",
    "packing",
    "padding_free",
    "use_liger_kernel",
)
"""Settings of the trainers that would change the loss, or pack rows in another way."""

OTHER_ROWS = (
    "max_length",
    "dataset_text_field",
    "shuffle_dataset",
    "train_sampling_strategy",
    "eos_token",
    "pad_token",
    "chat_template_path",
)
"""Settings of the trainers for rows of their own, or for another order of them."""


class StepDataset(Protocol):
    """The examples of a training by their position, for the data loader."""

    steps_per_epoch: int

    def __len__(self) -> int: ...


class StepBatches(Protocol):
    """Builds the batches of an optimiser step.

    Attributes:
        drawn: the prompt of each row of the step that was built last.
    """

    engine: Engine
    drawn: list[Prompt]

    @property
    def stats(self) -> Mapping[int, StepStats]:
        """By step, what the log says of those that were built."""
        ...

    def __call__(self, batches: Sequence[Sequence[Item]]) -> list[dict[str, Any]]:
        """Return, for each forward of a step on this process, the model's inputs, ``labels`` and ``rows``."""
        ...


class DynamicPrompts:
    """Mixin: ``class PaftTrainer(DynamicPrompts, SFTTrainer): ...``.

    The trainer visits the examples in an order made of the seed, asks each example of a step with the prompt that
    the sampler draws for it, packs what the rows share, and takes the objective on the answers alone. Everything
    else is the trainer's own. Several GPUs are used by as many processes (``accelerate launch``); one process
    uses one.

    Args:
        args: the trainer's settings.
        data: the model, examples, prompts, sampler and objective (:func:`prompt_data` makes it from rows).
        kwargs: anything else that the trainer takes, except a model, a data set and a collator. There is no
            evaluation during training (measure with ``paft evaluate``), and no row is cut.

    Raises:
        UserError: a setting asks for another loss, or the model cannot be trained this way.
    """

    loss_is_scaled_for_ga: bool | None = True
    """The loss is divided by the answer tokens of the whole step, not of one forward."""

    args: Any
    state: Any
    accelerator: Any
    add_callback: Any
    epoch_data: StepDataset
    batches: StepBatches

    def __init__(self, args: TrainingArguments, data: PromptData, **kwargs: Any) -> None:
        if not isinstance(data, PromptData):
            raise UserError(f"data: expected what prompt_data returns, found {type(data).__name__}")
        for setting in dataclasses.fields(args):
            changed = getattr(args, setting.name) != setting.default
            if setting.name in ANOTHER_LOSS and changed:
                raise UserError(f"{setting.name}: the loss is taken on the answers alone; leave it out")
            if setting.name in OTHER_ROWS and changed:
                raise UserError(f"{setting.name}: rows and their order are made from prompt_data; leave it out")
        for name, reason in NOT_USED.items():
            if kwargs.get(name) is not None:
                raise UserError(f"{name}: {reason}; leave it out")
        if args.auto_find_batch_size:
            raise UserError("auto_find_batch_size: prompts are drawn for steps of a known size; leave it out")
        if args.neftune_noise_alpha is not None:
            raise UserError(
                "neftune_noise_alpha: its noise depends on how rows are packed; use prompt_noise instead"
            )
        if not data.engine.keeps_logits:
            raise UserError("the model's forward takes no logits_to_keep; it can be measured but not trained")
        use_exact_products(data.engine.model)
        train_on_device(args, data.engine.model.device)
        args.remove_unused_columns = False  # the examples are no columns
        if hasattr(args, "dataset_kwargs"):  # SFTTrainer tokenises before the training by default
            args.dataset_kwargs = (args.dataset_kwargs or {}) | {"skip_prepare_dataset": True}
        self._prepare(args, data)
        self._row_losses: torch.Tensor | None = None
        placeholder_dataset = Dataset.from_dict(
            {"id": [example.id for example in data.examples]}
        )  # TRL takes no other kind
        own = {"model": data.engine.model, "train_dataset": placeholder_dataset, "data_collator": as_items}
        super().__init__(args=args, **own, **kwargs)  # type: ignore[call-arg]
        first = data.examples[:4]
        data.engine.choose_batch_format(
            rows(data.engine, data.task, [data.prompts[0]] * len(first), first),
            gradients=data.engine.model.device.type != "cpu",
        )  # with LoRA in place
        self.train_dataset: Any = self.epoch_data
        prepare_own_loss(self)  # labels are at the positions that predict them
        self.add_callback(SamplerState(self.prompt_sampler, self.step_losses))

    def _prepare(self, args: TrainingArguments, data: PromptData) -> None:
        """Set the sampler, the noise, ``epoch_data`` and ``batches``, before the trainer's ``__init__``."""
        batch = args.per_device_train_batch_size * args.world_size
        forwards, step_size = (
            args.gradient_accumulation_steps * args.world_size,
            batch * args.gradient_accumulation_steps,
        )
        self.prompt_sampler, self.row_objective = make_parts(
            data.sampler,
            data.objective,
            data.task,
            data.engine.format,
            data.prompts,
            StepShape(step_size, forwards, steps_per_epoch=-(-len(data.examples) // step_size)),
            K=data.K,
            seed=data.seed,
        )
        self.epoch_data = EpochDataset(
            data.examples, step_size, data.seed, batch, self.row_objective.prompts_per_example, data.group_by
        )
        self.prompt_noise = PromptNoise(data.prompt_noise, data.seed) if data.prompt_noise else None
        losses = ModelLosses(data.engine, data.task, args.world_size)
        with user_code(f"the sampler {type(self.prompt_sampler).__name__}"):
            self.prompt_sampler.bind(losses)
        self.batches = BatchBuilder(
            data.engine,
            data.task,
            (*data.prompts, *self.prompt_sampler.extra_prompts),
            self.prompt_sampler,
            self.epoch_data,
            has_noise=self.prompt_noise is not None,
            probed_tokens=lambda: losses.tokens,
            shares_prefix=lambda: can_share_prefix(data.engine.model, args, self.accelerator),
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        steps_per_epoch = self.epoch_data.steps_per_epoch
        return EpochSampler(len(self.epoch_data), lambda: self.state.global_step // steps_per_epoch)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """Return the inputs of each forward of a step, and the answer tokens of the step over all processes.

        The step's prompts are drawn here, after the sampler has observed the step before.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:  # transformers 5.0 asks once more at the end of an epoch that was resumed in its middle
            return [], None
        built = self.batches(batches)
        self._row_losses = (
            torch.zeros(len(self.batches.drawn), device=device) if self.prompt_sampler.observes else None
        )
        return super().get_batch_samples(iter(built), len(built), device)  # type: ignore[misc]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Return the objective on the answers."""
        labels, tags, prefix = inputs.pop("labels"), inputs.pop("rows"), inputs.pop("prefix", None)
        if prefix:
            with self._noise_of(prefix), self.accelerator.autocast():  # TRL may have wrapped the engine's model
                inputs |= self.batches.engine.cache_arguments(prefix.cache())
        with self._noise_of(tags):
            outputs = model(**inputs)
        loss = self._loss(tags, outputs.logits, labels, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # counted over all of them, which then average gradients
        return (loss, outputs) if return_outputs else loss

    def _noise_of(self, part: RowTags | SharedPrefix) -> AbstractContextManager[None]:
        noise = self.prompt_noise
        return noise.added(self.batches.engine.model, part.noise) if noise else nullcontext()

    def _loss(self, tags: RowTags, logits: torch.Tensor, labels: torch.Tensor, count: Any) -> torch.Tensor:
        if tags.is_padding:
            return logits.float().sum() * 0  # every process needs gradients of every adapter weight
        step_rows = tags.with_logits(logits, labels, count)
        loss = loss_of(self.row_objective, step_rows)
        if self._row_losses is not None:
            self._row_losses[torch.tensor(tags.places, device=logits.device)] = step_rows.row_losses.detach()
        return loss

    def step_losses(self) -> tuple[list[Prompt], list[float]]:
        """Return the prompt of each row of the last step, and its loss gathered over the processes."""
        assert self._row_losses is not None
        losses = self._row_losses
        if self.accelerator.num_processes > 1:
            losses = reduce(losses, "sum")  # each process has filled in its own rows
        return self.batches.drawn, losses.tolist()


class SamplerState(TrainerCallback):
    """Lets the sampler observe each step, and keeps its state in ``trainer_state.json`` of each checkpoint.

    The state is written into the trainer's before the trainer saves, so any Trainer restores it on resume.

    Args:
        step_losses: returns the prompt and the loss of each row of the last step.
    """

    NAME = "PromptSampler"

    def __init__(self, sampler: PromptSampler, step_losses: Any):
        self.sampler, self.step_losses = sampler, step_losses
        self.initial = self._state()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the state of the checkpoint, or the first one where training starts."""
        stored = state.stateful_callbacks.get(self.NAME, {}).get("attributes", self.initial)
        with user_code(f"the sampler {type(self.sampler).__name__}"):
            self.sampler.load_state_dict(stored)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hand the losses of the step to the sampler; this comes before a checkpoint is saved."""
        if self.sampler.observes:
            prompts, losses = self.step_losses()
            with user_code(f"the sampler {type(self.sampler).__name__}"):
                self.sampler.observe(state.global_step - 1, prompts, losses)
        if now := self._state():
            state.stateful_callbacks[self.NAME] = {"args": {}, "attributes": now}

    def _state(self) -> dict[str, Any]:
        """Return the sampler's state as a checkpoint returns it.

        Raises:
            WorkError: the state is not JSON.
        """
        name = type(self.sampler).__name__
        with user_code(f"the sampler {name}"):
            state = self.sampler.state_dict()
        try:
            return dict(json.loads(json.dumps(state)))
        except (TypeError, ValueError) as error:
            raise WorkError(
                f"the sampler {name}: state_dict() must return a mapping of JSON values: {error}"
            ) from None


def prompt_data(
    model: Any,
    tokenizer: Any,
    examples: Iterable[dict[str, Any]],
    prompts: Sequence[str | Prompt],
    *,
    fields: Sequence[str] | Mapping[str, str],
    choices: Sequence[str] | str | None = None,
    target: str,
    answer: Literal["label", "letter", "text"] | None = None,
    K: int = 4,  # noqa: N803
    seed: int = 0,
    sampler: Part = "uniform",
    objective: Part = "cross-entropy",
    prompt_noise: float | None = None,
    group_by: str | None = None,
) -> PromptData:
    """Return training data from rows.

    Args:
        model: a loaded causal language model; it may have its adapter already, or leave that to the trainer.
        examples: rows with the columns ``fields`` and ``target``, such as those of a ``datasets.Dataset``.
        prompts: templates with slots, ``{message}`` and so on.
        fields: the columns that fill the slots of their names, or the column of each slot by its name.
        choices: the labels, or the column that holds each row's own options; None for free text.
        target: the column of the right answer. In a free-text task it may hold a list of accepted answers, of
            which the first is trained on.
        answer: whether the model answers with the option's text (the default), its letter, or free text.
        K: optimiser steps that one drawn prompt is kept for.
        seed: of the order of the examples and of the sampler.
        sampler: which prompt serves which example of a step: a name, ``module:name``, a mapping with ``name`` and
            further settings, or a subclass of :class:`~paft.training.samplers.PromptSampler`.
        objective: what is minimised; likewise, a subclass of :class:`~paft.training.objectives.Objective`.
        prompt_noise: NEFTune's alpha, on the embeddings of prompt tokens only.
        group_by: one of ``fields``, such as a passage; rows with the same value follow each other in an epoch, so
            that a step computes what they share once.

    Raises:
        UserError: a row or a prompt does not fit the task.
    """
    labels = choices if choices is None or isinstance(choices, str) else list(choices)
    columns = dict(fields) if isinstance(fields, Mapping) else list(fields)
    config = TaskConfig(name="task", fields=columns, choices=labels, target=target, answer=answer)
    task, known = task_of_rows(examples, config)
    if group_by is not None:
        task.check_field(group_by, "group_by")
    fit, out = screen([Prompt(p) if isinstance(p, str) else p for p in prompts], task, known)
    if out:
        raise UserError(
            f"{len(out)} prompt(s) do not fit ({counts(out)}); the first, {out[0].prompt.text!r}: {out[0].reason}"
        )
    engine = Engine(model, ChatFormat(tokenizer))
    return PromptData(engine, task, known, fit, K, seed, sampler, objective, prompt_noise, group_by)
