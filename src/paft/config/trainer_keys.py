"""Keys of ``transformers.TrainingArguments`` in a config: which are open to the user, and which paft sets."""

from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from paft.errors import UserError, nearest

OWNED_ARGUMENTS = {
    "output_dir": "use --output",
    "num_train_epochs": "use training.epochs",
    "per_device_train_batch_size": "use training.batch_size",
    "seed": "use seed",
    "data_seed": "use seed",
    "bf16": "use model.dtype",
    "fp16": "use model.dtype",
    "max_steps": "use training.epochs and training.examples",
    "train_sampling_strategy": "the schedule orders the examples; use seed",
    "resume_from_checkpoint": "the same command with the same --output resumes",
    "remove_unused_columns": "the batches are made by paft",
    "label_smoothing_factor": "the loss is ordinary fine-tuning on the answer",
    "dataloader_drop_last": "each epoch visits every example",
    "dataloader_num_workers": "batches are made in the training process",
    "dataloader_persistent_workers": "batches are made in the training process",
    "accelerator_config": "the batches are made by paft",
    "average_tokens_across_devices": "the loss is that of the whole step, over all processes",
    "dataloader_pin_memory": "it follows the device",
    "auto_find_batch_size": "use training.batch_size",
    "ignore_data_skip": "a resumed run is the uninterrupted run",
    "save_only_model": "a resumed run is the uninterrupted run",
    "use_cpu": "the GPU is used where there is one",
    "disable_tqdm": "use --quiet",
    "logging_strategy": "use training.logging_steps",
    "logging_first_step": "use training.logging_steps",
    "do_eval": "use the evaluation section",
    "eval_on_start": "use the evaluation section",
    "load_best_model_at_end": "training never sees the test prompts",
    "push_to_hub": "upload RUN/methods/METHOD/adapter when it is made",
    "use_liger_kernel": "the engine's layers are those of transformers",
    "save_strategy": "use training.save_steps",
    "eval_strategy": "training never sees the test prompts; use the evaluation section",
}


def check_training_arguments(extra: Mapping[str, Any], own: Iterable[str]) -> None:
    """Refuse a key of ``training`` that is neither ours nor one of ``transformers.TrainingArguments``, or a value.

    Args:
        own: the keys that the config knows itself.
    """
    for key in extra:
        if key in OWNED_ARGUMENTS:
            raise UserError(f"config key training.{key} cannot be set: {OWNED_ARGUMENTS[key]}")
    from dataclasses import fields

    from transformers import TrainingArguments

    known = {f.name for f in fields(TrainingArguments) if f.init} - OWNED_ARGUMENTS.keys()
    kinds = get_type_hints(TrainingArguments)
    for key, value in extra.items():
        if key not in known:
            raise UserError(f"config key training.{key} is unknown{nearest(key, known | set(own))}")
        if kinds[key] in (bool, int, float):
            try:
                TypeAdapter(kinds[key]).validate_python(value, strict=True)
            except ValidationError as error:
                problem = error.errors()[0]["msg"]
                raise UserError(f"config key training.{key}: {problem}, found {value!r}") from None
