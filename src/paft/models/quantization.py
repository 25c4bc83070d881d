"""Base models in 4 or 8 bits through bitsandbytes, with a LoRA adapter on top (QLoRA, arXiv 2305.14314).

The linear layers are quantised as the model is loaded, all but the output layer: 4 bits as in the paper (NF4, with
the block scales quantised again), 8 bits with a scale for each row. A product takes the weights back to the
model's dtype first, so packed and padded rows give the same result. Everything else keeps the model's dtype.

PEFT's ``prepare_model_for_kbit_training`` is not used: its float32 embeddings take back a third of what 4 bits
save in SmolLM2-135M, its gradient checkpointing is the setting ``training.gradient_checkpointing``, and norms and
losses are computed in float32 anyway.
"""

from importlib import util
from typing import TYPE_CHECKING, Any

from paft.config.model import ModelConfig
from paft.errors import UserError

if TYPE_CHECKING:
    import torch

KEY = "config key model.quantization"


def check_quantization(config: ModelConfig, *, trains: bool, is_sharded: bool = False) -> None:
    """Refuse, before anything is loaded, a quantised model that cannot be had, or not for training.

    Args:
        trains: whether the model will be trained.
        is_sharded: whether the launcher shards the model over its processes.

    Raises:
        UserError: bitsandbytes is missing, the config's adapter would have to be merged, or the model sharded.
    """
    if config.quantization == "none":
        return
    if util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"{KEY}: {config.quantization} needs the package bitsandbytes; pip install 'paft[quantization]'"
        )
    if trains and config.adapter:
        raise no_merge(config, config.quantization)
    if trains and is_sharded:
        raise UserError(
            f"{KEY}: FSDP and DeepSpeed cannot shard a quantised model; start paft with torchrun, or leave the "
            "key out"
        )


def no_merge(config: ModelConfig, quantization: str) -> UserError:
    """Return the error of an adapter that a quantised model would have to take in.

    Quantising the sum again, as PEFT does, keeps nothing of the adapter in 4 bits and half of it in 8.
    """
    return UserError(
        f"config key model.adapter: {config.adapter} would be lost to rounding when merged into {quantization} "
        "weights, and so cannot be trained on; merge it into the model without quantization "
        "(PEFT's merge_and_unload, then save_pretrained) and name that folder in model.path"
    )


def quantized_loading(quantization: str, device: "torch.device", dtype: "torch.dtype") -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that quantise a model on its device.

    Args:
        quantization: ``4bit`` or ``8bit``.
        dtype: of the model, and of the products with its weights.

    Raises:
        UserError: bitsandbytes is missing, or does not support the device.
    """
    try:
        import bitsandbytes
    except Exception as error:  # it loads a library of its own
        raise UserError(f"{KEY}: cannot load bitsandbytes ({error}); pip install 'paft[quantization]'") from None
    import torch
    from transformers import BitsAndBytesConfig

    supported = sorted(bitsandbytes.supported_torch_devices)
    if device.type not in supported:
        raise UserError(
            f"{KEY}: bitsandbytes {bitsandbytes.__version__} does not support model.device {device.type!r}, only "
            f"{', '.join(supported)}; choose one of them, or leave the key out"
        )
    if quantization == "4bit":
        how = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    else:
        how = BitsAndBytesConfig(load_in_8bit=True)
    if device.type != "cpu" and device.index is None:  # accelerate compares it with the trainer's device
        device = torch.device(device.type, torch.accelerator.current_device_index())
    return {"quantization_config": how, "device_map": {"": device}}


def quantization_of(model: Any) -> str:
    """Return ``4bit`` or ``8bit`` for weights of bitsandbytes, ``other`` for another library's, or ``none``."""
    for quantization in ("4bit", "8bit"):
        if getattr(model, f"is_loaded_in_{quantization}", False):
            return quantization
    return "other" if getattr(model, "is_quantized", False) else "none"


def check_loaded(model: Any, config: ModelConfig) -> str | None:
    """Return a line if the model's weights were saved in fewer bits and are used as they are, else None.

    Raises:
        UserError: they were saved in other bits than the config asks for.
    """
    loaded = quantization_of(model)
    if config.quantization not in ("none", loaded):
        raise UserError(
            f"{KEY}: {config.quantization}, but the weights of {config.path} were saved quantised in another way; "
            "leave the key out"
        )
    stored = loaded != "none" and (config.quantization == "none" or model.hf_quantizer.pre_quantized)
    return f"{config.path}: its weights were saved quantised and are used as they are" if stored else None
