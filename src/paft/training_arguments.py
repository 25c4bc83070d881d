"""Keys of ``transformers.TrainingArguments`` in a config: which are open to the user, and which paft sets."""

from collections.abc import Iterable

from paft.errors import UserError, nearest

OWNED_ARGUMENTS = {
    "output_dir": "--output",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.batch_size",
    "seed": "seed",
    "data_seed": "seed",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "max_steps": "training.epochs and training.examples",
    "train_sampling_strategy": "seed (the order of the examples is the schedule's)",
    "resume_from_checkpoint": "--output (the same command resumes)",
    "remove_unused_columns": "nothing: paft owns it",
    "label_smoothing_factor": "nothing: the loss is ordinary fine-tuning on the answer",
    "dataloader_drop_last": "nothing: each epoch visits every example",
    "dataloader_num_workers": "nothing: batches are made in the training process",
    "dataloader_pin_memory": "nothing: it follows the device",
    "auto_find_batch_size": "training.batch_size",
    "ignore_data_skip": "nothing: a resumed run is the uninterrupted run",
    "save_only_model": "nothing: a resumed run is the uninterrupted run",
    "use_cpu": "nothing: the GPU is used where there is one",
    "disable_tqdm": "--quiet",
    "logging_strategy": "training.logging_steps",
    "logging_first_step": "training.logging_steps",
    "do_eval": "the evaluation section",
    "eval_on_start": "the evaluation section",
    "load_best_model_at_end": "nothing: training never sees the test prompts",
    "eval_strategy": "the evaluation section (training never sees the test prompts)",
}


def check_training_arguments(extra: Iterable[str], own: Iterable[str]) -> None:
    """Refuse a key of ``training`` that is neither ours nor one of ``transformers.TrainingArguments``.

    Args:
        own: the keys that the config knows itself.
    """
    for key in extra:
        if key in OWNED_ARGUMENTS:
            raise UserError(f"config key training.{key}: this is set by {OWNED_ARGUMENTS[key]}")
    from dataclasses import fields

    from transformers import TrainingArguments

    known = {f.name for f in fields(TrainingArguments) if f.init} - OWNED_ARGUMENTS.keys()
    for key in extra:
        if key not in known:
            raise UserError(f"config key training.{key} is unknown{nearest(key, known | set(own))}")
