"""What paft uses of torch, transformers, PEFT, TRL and bitsandbytes beyond their documented interfaces.

Nothing else in paft uses these (``tests/test_architecture.py``): check this module against a new release.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations import get_reporting_integration_callbacks
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.pytorch_utils import Conv1D

from paft.errors import UserError

__all__ = [
    "TESTED",
    "Conv1D",
    "attention_implementation",
    "cpu_has_avx512_bfloat16",
    "dequantized_gguf",
    "get_reporting_integration_callbacks",
    "load_adapter_tensors",
    "prepare_own_loss",
    "register_attention",
    "sdpa_attention_forward",
    "shape_of_quantized",
    "softmax_backward",
    "train_on_device",
    "use_exact_products",
]

TESTED = {
    "torch": ("2.7.1", "2.13.0"),
    "transformers": ("5.0.0", "5.24.0"),
    "peft": ("0.18.0", "0.21.2"),
    "accelerate": ("1.11.0", "1.15.0"),
    "trl": ("0.28.0", "1.16.0"),
    "bitsandbytes": ("0.50.2", "0.50.2"),
}
"""The oldest and the newest version that the tests have passed with."""


def register_attention(name: str, function: Any) -> None:
    """Let ``model.set_attn_implementation(name)`` use an attention function.

    The masks of generation and of padded rows are made as for transformers' SDPA attention.
    """
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, sdpa_mask)


def attention_implementation(model: Any, registered: Collection[str] = ()) -> str:
    """Return the name of the attention function that a model of transformers uses.

    Args:
        registered: functions that are not the model's own; where it uses one of them, the result is the one that
            transformers chooses for it.
    """
    name = model.config._attn_implementation
    return name if name not in registered else "sdpa" if model._supports_sdpa else "eager"


def softmax_backward(gradient: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a softmax's input over the last dimension, float32, in one pass over memory.

    Args:
        gradient: of the softmax's output, float32.
        output: of the softmax, float32.
    """
    return torch._softmax_backward_data(gradient, output, -1, torch.float32)


def cpu_has_avx512_bfloat16() -> bool:
    """Return True if the CPU has the bfloat16 instructions of AVX-512; for torch without ``get_capabilities``."""
    return torch.cpu._is_avx512_bf16_supported()


def dequantized_gguf() -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that dequantize a .gguf file; older releases always do."""
    if not hasattr(transformers, "GgufConfig"):
        return {}
    return {"quantization_config": transformers.GgufConfig(dequantize=True)}


def load_adapter_tensors(model: Any, folder: Path) -> tuple[list[str], list[str]]:
    """Load a saved adapter's tensors into a PEFT model that has its layers.

    Returns:
        The names of tensors that fit no module, and of the LoRA tensors that stay as they were. Other kinds share
        tensors between layers, which PEFT reports as missing in each.

    Raises:
        KeyError: a module of ``modules_to_save`` is missing.
        RuntimeError: a tensor has another shape.
    """
    renamed = getattr(model.get_base_model(), "_checkpoint_conversion_mapping", None)  # as PEFT's from_pretrained
    result = model.load_adapter(str(folder), model.active_adapter, is_trainable=True, key_mapping=renamed or None)
    is_lora = model.active_peft_config.peft_type == "LORA"
    return list(result.unexpected_keys), list(result.missing_keys) if is_lora else []


def train_on_device(args: Any, device: torch.device) -> None:
    """Make a Trainer's settings use the model's own device: no other accelerator, and no DataParallel.

    Args:
        args: ``transformers.TrainingArguments``, changed in place. Several processes keep the launcher's devices.
        device: of the model; one on the CPU is left for the Trainer to move.
    """
    if args.world_size == 1 and device.index is not None and device.type == args.device.type != "cpu":
        torch.accelerator.set_device_index(device.index)  # accelerate moves the model to the current device
        args.__dict__["_setup_devices"] = device  # the cached value of args.device
    if args.n_gpu > 1:
        args._n_gpu = 1  # DataParallel would cut a pack in pieces


def prepare_own_loss(trainer: Any) -> None:
    """Make a built Trainer count a step's labels for a ``compute_loss`` whose labels are already shifted."""
    trainer.model_accepts_loss_kwargs = True  # pass num_items_in_batch
    trainer._loss_shifts_labels = False  # count all labels; releases without this attribute always do


def use_exact_products(model: torch.nn.Module) -> None:
    """Make the layers of bitsandbytes multiply with the dequantised weights, in training and in evaluation.

    On a CPU with bfloat16 instructions, its 4-bit layers repack their weights in the first forward without
    gradients: they then round to bfloat16, and pass no gradient on in a later training. Its 8-bit layers quantise
    the inputs too (LLM.int8), so that a row's result depends on the other rows of the batch.

    Raises:
        UserError: a 4-bit layer has repacked its weights already.
    """
    for name, layer in model.named_modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            if getattr(layer.weight.quant_state, "packing_format_for_cpu", False):
                raise UserError(
                    f"the 4-bit layer {name} was repacked for this CPU when the model was used, and passes no "
                    "gradient on; load the model again, and give it to paft before you use it"
                )
            layer.support_avx512bf16_for_cpu = False
        elif type(layer).__name__ == "Linear8bitLt" and type(layer).__module__.startswith("bitsandbytes"):
            layer.forward = partial(_dequantized_product, layer)


def _dequantized_product(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
    if layer.weight.CB is not None:  # the first time
        layer.init_8bit_state()
    return _Int8Product.apply(inputs, layer.state.CB, layer.state.SCB, layer.bias)


class _Int8Product(torch.autograd.Function):
    """A linear layer with int8 weights; unlike that of bitsandbytes, it keeps no inputs for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weights: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(weights, scales)
        return torch.nn.functional.linear(inputs, _dequantized(weights, scales, inputs.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weights, scales = ctx.saved_tensors
        return gradients[0] @ _dequantized(weights, scales, gradients[0].dtype), None, None, None


def _dequantized(weights: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return int8 weights ``(out, in)`` with a scale ``(out,)``, the largest value of each row, as numbers."""
    return weights.to(dtype) * (scales[:, None] / 127).to(dtype)


def shape_of_quantized(model: torch.nn.Module, quantization: str) -> None:
    """Give a model of the meta device the shapes that it has in ``4bit`` or ``8bit``, also while it computes."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear | Conv1D) and layer is not head:
            count, rows = layer.weight.numel(), layer.weight.shape[0]
            size = count // 2 + count // 63 if quantization == "4bit" else count + 4 * rows
            shape, dtype = layer.weight.shape, layer.weight.dtype
            stored = torch.empty(size, dtype=torch.uint8, device="meta")
            layer.weight = torch.nn.Parameter(stored, requires_grad=False)
            layer.__dict__["forward"] = partial(_ShapeOfProduct.apply, tuple(shape), dtype)


class _ShapeOfProduct(torch.autograd.Function):
    """A linear layer that makes its weights anew in each forward and backward pass, as the quantised ones do."""

    @staticmethod
    def forward(ctx: Any, shape: tuple[int, int], dtype: torch.dtype, inputs: torch.Tensor) -> torch.Tensor:
        ctx.shape = shape
        return inputs @ torch.empty(shape, dtype=dtype, device="meta").T

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, gradients[0] @ torch.empty(ctx.shape, dtype=gradients[0].dtype, device="meta")
