"""Keys of ``transformers.TrainingArguments`` and PEFT's ``LoraConfig`` in a config.

Any of them may be set by its usual name, except those that paft sets itself or cannot honour.
"""

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
    "train_sampling_strategy": "the seed orders the examples; use seed",
    "resume_from_checkpoint": "the same command with the same --output resumes",
    "remove_unused_columns": "the batches are made by paft",
    "label_smoothing_factor": "use training.objective",
    "dataloader_drop_last": "each epoch visits every example",
    "dataloader_num_workers": "batches are made in the training process",
    "dataloader_persistent_workers": "batches are made in the training process",
    "accelerator_config": "the batches are made by paft",
    "average_tokens_across_devices": "the loss is that of the whole step, over all processes",
    "dataloader_pin_memory": "it follows the device",
    "auto_find_batch_size": "use training.batch_size",
    "ignore_data_skip": "a resumed run is the uninterrupted run",
    "save_only_model": "a resumed run is the uninterrupted run",
    "use_cpu": "the GPU is used if there is one",
    "disable_tqdm": "use --quiet",
    "logging_strategy": "use training.logging_steps",
    "logging_first_step": "use training.logging_steps",
    "do_eval": "use the evaluation section",
    "eval_on_start": "use the evaluation section",
    "load_best_model_at_end": "training never sees the test prompts; method grpo has a setting eval_steps",
    "eval_steps": "training never sees the test prompts; method grpo has a setting of that name",
    "push_to_hub": "upload RUN/methods/METHOD/adapter when it is finished",
    "neftune_noise_alpha": "use training.prompt_noise",
    "use_liger_kernel": "the engine's layers are those of transformers",
    "save_strategy": "use training.save_steps",
    "eval_strategy": "training never sees the test prompts; use the evaluation section",
}


OWNED_LORA = {
    "lora_alpha": "use training.lora.alpha",
    "lora_dropout": "use training.lora.dropout",
    "peft_type": "paft trains LoRA adapters",
    "task_type": "paft trains causal language models",
    "inference_mode": "paft trains the adapter, then measures it",
    "base_model_name_or_path": "use model.path",
    "revision": "the adapter belongs to the model of model.path",
    "auto_mapping": "PEFT writes it",
    "peft_version": "PEFT writes it",
    "runtime_config": "PEFT does not save it",
    "bias": "the model's own biases would stay changed when the adapter is taken off",
    "lora_bias": "the adapter could not be merged into layers without a bias",
    "layer_replication": "the model would have other layers when the adapter is taken off",
    "alora_invocation_tokens": "such an adapter cannot be merged",
    "kasa_config": "it changes the base model's weights",
    "loftq_config": "it changes the base model's weights",
    "eva_config": "it needs data before the training",
    "corda_config": "it needs data before the training",
    "lora_ga_config": "it needs data before the training",
    "arrow_config": "it combines adapters that are trained already",
    "use_bdlora": "such an adapter is made for sharded inference",
    "megatron_config": "paft does not train with Megatron",
    "megatron_core": "paft does not train with Megatron",
    "use_qalora": "it needs a GPTQ model",
    "qalora_group_size": "it needs a GPTQ model",
}
"""Keys of PEFT's ``LoraConfig`` that a config cannot set, with the reason."""

OPEN_INITIALISATIONS = (True, False, "gaussian", "orthogonal")
"""Values of ``init_lora_weights`` that leave the base model's weights unchanged and need no data."""


def check_lora_arguments(extra: Mapping[str, Any], own: Iterable[str]) -> None:
    """Refuse a key of ``training.lora`` that is neither ours nor an open one of ``peft.LoraConfig``, or a value.

    Args:
        own: the keys that the config knows itself.

    Raises:
        UserError: with the key, and the nearest known key or the reason.
    """
    for key in extra:
        if key in OWNED_LORA:
            raise UserError(f"config key training.lora.{key} cannot be set: {OWNED_LORA[key]}")
    from dataclasses import fields

    from peft import LoraConfig

    known = {f.name for f in fields(LoraConfig) if f.init} - OWNED_LORA.keys()
    kinds = get_type_hints(LoraConfig)
    for key, value in extra.items():
        if key not in known:
            raise UserError(f"config key training.lora.{key} is unknown{nearest(key, known | set(own))}")
        _check_kind(f"training.lora.{key}", value, kinds[key])
    first = extra.get("init_lora_weights", True)
    if not any(first is value or first == value for value in OPEN_INITIALISATIONS):
        raise UserError(
            f"config key training.lora.init_lora_weights: {first!r} changes the base model's weights or needs "
            "data; use true, false, gaussian or orthogonal"
        )


def _check_kind(key: str, value: Any, kind: Any) -> None:
    """Refuse a value of another type."""
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(f"config key {key}: {problem}, found {value!r}") from None


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
            _check_kind(f"training.{key}", value, kinds[key])
