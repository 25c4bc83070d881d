"""The adapter: PEFT's LoRA with the settings of ``training.lora``, checked on the model before it is trained."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from paft.config.schema import LoraSection
from paft.errors import UserError, one_line
from paft.models.adapters import unload_adapter
from paft.models.load import tied_head
from paft.utils.hf_internals import Conv1D


def add_adapter(base: Any, lora: LoraSection) -> Any:
    """Return the model with a fresh adapter; PEFT puts its layers into ``base`` itself.

    The saved adapter names the base model, and its revision where the config does.

    Raises:
        UserError: PEFT refuses a setting.
    """
    try:
        return get_peft_model(base, _config(lora), revision=getattr(base, "base_revision", None))
    except (
        ValueError,
        TypeError,
        ImportError,
        AttributeError,
        KeyError,
        RuntimeError,
    ) as error:
        raise UserError(f"config section training.lora: {one_line(error)}") from None


def check_lora(model: Any, lora: LoraSection) -> None:
    """Refuse settings that do not fit the model, or that make an adapter which cannot be merged or loaded again.

    Raises:
        UserError: a module is missing or shares its weights with the embeddings, or PEFT refuses a setting.
    """
    if lora.target_modules != "all-linear":
        check_targets(model, lora.target_modules)
    extra = lora.model_extra or {}
    check_modules_to_save(model, extra.get("modules_to_save") or [])
    if extra:
        adapted = add_adapter(model, lora)
        ranks = [
            rank for module in adapted.modules() if isinstance(module, LoraLayer) for rank in module.r.values()
        ]
        unload_adapter(adapted).requires_grad_(False)
        if ranks and max(ranks) < lora.r:
            raise UserError(
                f"config key training.lora.r: no layer has the rank {lora.r}, because rank_pattern sets "
                f"all of them; set r to their highest rank, {max(ranks)}"
            )


def check_targets(model: Any, targets: Sequence[str]) -> None:
    """Refuse LoRA targets that name no linear layer of the model, or other modules too, or tied weights."""
    linear = {name: isinstance(m, torch.nn.Linear | Conv1D) for name, m in model.named_modules()}
    for target in targets:
        matches = [is_linear for name, is_linear in linear.items() if _is_named(name, target)]
        if not matches or not all(matches):
            layers = sorted({name.split(".")[-1] for name, is_linear in linear.items() if is_linear})
            raise UserError(
                f"config key training.lora.target_modules: the model has no linear layer {target!r}; "
                f"its linear layers are {', '.join(layers)}"
            )
        _refuse_tied(model, target, "target_modules")


def check_modules_to_save(model: Any, names: Sequence[str]) -> None:
    """Refuse modules that the model lacks, and tied weights: only one of the two copies would be trained."""
    for name in names:
        if not any(_is_named(module, name) for module, _ in model.named_modules()):
            known = sorted({part for module, _ in model.named_modules() if (part := module.split(".")[-1])})
            known = [part for part in known if not re.fullmatch(r"\d+", part)]
            raise UserError(
                f"config key training.lora.modules_to_save: the model has no module {name!r}; "
                f"its modules are {', '.join(known)}"
            )
        _refuse_tied(model, name, "modules_to_save")


def _refuse_tied(model: Any, target: str, key: str) -> None:
    head = tied_head(model)
    tied = {id(head), id(model.get_input_embeddings())} if head is not None else set()
    if any(
        id(part) in tied
        for name, module in model.named_modules()
        if _is_named(name, target)
        for part in module.modules()
    ):
        raise UserError(
            f"config key training.lora.{key}: {target!r} shares its weights between the embeddings and the output "
            "layer, so the adapter cannot be merged; leave it out"
        )


def _is_named(name: str, target: str) -> bool:
    """Return True if PEFT takes the module of this name for the target."""
    return name == target or name.endswith(f".{target}")


def _config(lora: LoraSection) -> LoraConfig:
    targets = lora.target_modules
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
        **(lora.model_extra or {}),
    )
