"""Where models run and in which number format: the one place that asks torch for its accelerators."""

import os
from contextlib import AbstractContextManager

import torch

from paft.errors import UserError
from paft.utils.hf_internals import cpu_has_avx512_bfloat16

CPU_BATCH_TOKENS = 1_024
ACCELERATOR_BATCH_TOKENS = 16_384

DISTRIBUTED = ("cuda", "xpu")
"""Accelerators that several processes can train on together; with any other they use the CPU."""


def accelerator() -> str | None:
    """Return the kind of this machine's accelerator, such as ``cuda``, ``xpu`` or ``mps``; None if it has none."""
    if not torch.accelerator.is_available():
        return None
    current = torch.accelerator.current_accelerator()
    return current.type if current is not None else None


def available_devices() -> list[str]:
    """Return the names of this machine's devices, ``cpu`` first."""
    kind = accelerator()
    count = torch.accelerator.device_count() if kind else 0
    return ["cpu", *(f"{kind}:{index}" for index in range(count))]


def describe(name: str) -> str:
    """Return what is known of one of :func:`available_devices`, such as its product name and memory."""
    module = getattr(torch, name.partition(":")[0])
    if not hasattr(module, "get_device_properties"):  # mps
        return "available"
    card = module.get_device_properties(name)
    return f"{card.name}, {card.total_memory / 1e9:.0f} GB"


def pick_device(setting: str = "auto", processes: int = 1) -> torch.device:
    """Return the device that ``model.device`` names; ``auto`` is the accelerator if there is one, else the CPU.

    Args:
        setting: ``auto``, or a device as torch writes it: ``cpu``, ``cuda``, ``cuda:1``, ``xpu``, ``mps``.
        processes: of this run. Each of several uses the accelerator that the launcher assigned to it.

    Raises:
        UserError: torch knows no such device, or this machine does not have it.
    """
    kind = accelerator()
    if setting == "auto":
        usable = kind if processes == 1 or kind in DISTRIBUTED else None
        return torch.device(usable or "cpu")
    key = f"config key model.device: {setting!r}"
    try:
        device = torch.device(setting)
    except RuntimeError:
        raise UserError(f"{key} is not a device; use auto, cpu, cuda, cuda:1, xpu or mps") from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != kind or (device.index or 0) >= torch.accelerator.device_count():
        raise UserError(f"{key} is not available on this machine; use auto, {', '.join(available_devices())}")
    if processes > 1 and (device.index is not None or kind not in DISTRIBUTED):
        raise UserError(f"{key}: with several processes the launcher assigns the devices; use auto or cpu")
    if device.index is not None:  # transformers and accelerate place what they make on the current device
        torch.accelerator.set_device_index(device.index)
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the device multiplies matrices in it, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "xpu":
        native = torch.xpu.is_bf16_supported()
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Return True if the CPU has bfloat16 instructions; older torch reports those of x86 only."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return cpu_has_avx512_bfloat16()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def default_batch_tokens(device: torch.device) -> int:
    """Return how many tokens one forward takes by default: more on an accelerator than on a CPU."""
    return CPU_BATCH_TOKENS if device.type == "cpu" else ACCELERATOR_BATCH_TOKENS


def forked_rng(device: torch.device, enabled: bool) -> AbstractContextManager[None]:
    """Return a context that restores the random state of the CPU, and of a CUDA or XPU device, when it ends."""
    if device.type not in DISTRIBUTED:
        return torch.random.fork_rng(devices=[], enabled=enabled)
    return torch.random.fork_rng(devices=[device.index or 0], enabled=enabled, device_type=device.type)


def cpu_cores() -> int:
    """Return how many cores this process may use; all of the machine where the system does not limit them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
