"""Dynamic prompts for any trainer built on transformers.Trainer: paft's own, a plain one, TRL's SFTTrainer."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from datasets import Dataset
from transformers import TrainingArguments

from paft.config.schema import TaskConfig
from paft.engine.engine import Engine
from paft.engine.pack import answer_loss
from paft.errors import UserError
from paft.models.chat import ChatFormat
from paft.prompts.screen import counts, screen
from paft.tasks.load import task_of_rows
from paft.training.data import Collator, EpochDataset, EpochSampler, PromptData, rows
from paft.training.samplers import Schedule
from paft.types import Prompt

ANOTHER_LOSS = ("label_smoothing_factor", "loss_type", "assistant_only_loss", "packing", "use_liger_kernel")
"""Settings of the trainers that would change, or pack rows for, a loss that is not taken."""


class DynamicPrompts:
    """Mixin: ``class PaftTrainer(DynamicPrompts, SFTTrainer): ...``.

    The trainer visits the examples in an order made of the seed, asks those of a step with the step's prompt,
    packs what they share, and takes the loss on the answers alone. All else is the trainer's own. Several GPUs are
    used by as many processes (``accelerate launch``); one process uses one.

    Args:
        args: the trainer's settings.
        data: the model, examples, prompts and schedule (:func:`prompt_data` makes it from rows).
        kwargs: anything else that the trainer takes, but for a model, a data set and a collator. There is no
            evaluation while it trains (measure with ``paft evaluate``), and no row is cut at a ``max_length``.

    Raises:
        UserError: a setting asks for another loss, or the model cannot be trained this way.
    """

    loss_is_scaled_for_ga: bool | None = True
    """The loss is divided by the answer tokens of the whole step, not of one forward."""

    args: Any
    state: Any
    accelerator: Any

    def __init__(self, args: TrainingArguments, data: PromptData, **kwargs: Any) -> None:
        for setting in dataclasses.fields(args):
            if setting.name in ANOTHER_LOSS and getattr(args, setting.name) != setting.default:
                raise UserError(f"{setting.name}: the loss is taken on the answers alone; leave it out")
        if not data.engine.keeps_logits:
            raise UserError("the model's forward takes no logits_to_keep; it can be measured but not trained")
        if args.n_gpu > 1:
            args._n_gpu = 1  # DataParallel would cut a pack in pieces
        args.remove_unused_columns = False  # the examples are no columns
        if hasattr(args, "dataset_kwargs"):  # SFTTrainer tokenises ahead of the training unless told not to
            args.dataset_kwargs = (args.dataset_kwargs or {}) | {"skip_prepare_dataset": True}
        batch = args.per_device_train_batch_size * args.world_size
        self.positions = EpochDataset(data.examples, batch * args.gradient_accumulation_steps, data.seed, batch)
        schedule = Schedule(data.prompts, data.K, self.positions.steps_per_epoch, data.seed)
        self.collator = Collator(data.engine, data.task, schedule)
        placeholder_dataset = Dataset.from_dict(
            {"id": [example.id for example in data.examples]}
        )  # TRL takes no other kind
        own = {"model": data.engine.model, "train_dataset": placeholder_dataset, "data_collator": self.collator}
        super().__init__(args=args, **own, **kwargs)  # type: ignore[call-arg]
        first = rows(data.engine, data.task, schedule(0), data.examples[:4])
        data.engine.choose_batch_format(
            first, gradients=data.engine.model.device.type != "cpu"
        )  # with LoRA in place
        self.train_dataset: Any = self.positions
        self.model_accepts_loss_kwargs = True  # so that the trainer counts a step's answer tokens,
        self._loss_shifts_labels = False  # all of them: labels stand at the positions that predict them

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(len(self.positions), lambda: self.state.global_step // self.positions.steps_per_epoch)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Return the cross-entropy of the answers."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = answer_loss(outputs.logits, labels, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # counted over all of them, which then average gradients
        return (loss, outputs) if return_outputs else loss


def prompt_data(
    model: Any,
    tokenizer: Any,
    examples: Iterable[dict[str, Any]],
    prompts: Sequence[str | Prompt],
    *,
    fields: Sequence[str],
    choices: Sequence[str] | str,
    target: str,
    answer: Literal["label", "letter"] = "label",
    K: int = 4,  # noqa: N803
    seed: int = 0,
) -> PromptData:
    """Return training data from rows that are at hand.

    Args:
        model: a causal language model, loaded; it may have its adapter already, or leave that to the trainer.
        examples: rows with the columns ``fields`` and ``target``, such as those of a ``datasets.Dataset``.
        prompts: templates with slots, ``{message}`` and so on.
        choices: the labels, or the column that holds each row's own options.
        target: the column of the right answer.
        answer: whether the model answers with the option's text or its letter.
        K: optimiser steps that one drawn prompt is kept for.
        seed: of the order of the examples and of the schedule.

    Raises:
        UserError: a row or a prompt does not fit the task.
    """
    labels = choices if isinstance(choices, str) else list(choices)
    config = TaskConfig(name="task", fields=list(fields), choices=labels, target=target, answer=answer)
    task, known = task_of_rows(examples, config)
    fit, out = screen([Prompt(p) if isinstance(p, str) else p for p in prompts], task, known)
    if out:
        raise UserError(
            f"{len(out)} prompt(s) do not fit ({counts(out)}); the first, {out[0].prompt.text!r}: {out[0].reason}"
        )
    return PromptData(Engine(model, ChatFormat(tokenizer)), task, known, fit, K, seed)
