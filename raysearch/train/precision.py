"""Which arithmetic a backbone trains in."""

from typing import Literal

import torch
from torch import nn


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is emulated and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def choose_precision(asked: str, model: nn.Module, device: torch.device) -> Literal["float32", "bfloat16"]:
    """``asked``, or for ``auto`` bfloat16 where it is native and the backbone gains from it.

    Decided by what the backbone is made of, not by a stopwatch, so that a training can be repeated: dense
    convolutions gain, networks of depthwise ones (EfficientNet) train slower in bfloat16 on CPUs.
    """
    if asked != "auto":
        return "float32" if asked == "float32" else "bfloat16"
    if not has_native_bfloat16(device):
        return "float32"
    is_depthwise = any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in model.modules())
    return "float32" if is_depthwise and device.type == "cpu" else "bfloat16"
