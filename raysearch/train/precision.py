"""The arithmetic that a backbone trains in: float32 or bfloat16."""

from typing import Literal

import torch
from torch import nn


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 in hardware. Otherwise it is emulated, and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def choose_precision(precision: str, model: nn.Module, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return ``precision``. For ``auto``: bfloat16 if the device has it and the backbone trains faster with it.

    The layers of the backbone decide, and not a measurement, so that a training can be repeated. Dense convolutions
    are faster in bfloat16; networks with depthwise convolutions (EfficientNet) are slower on CPUs.
    """
    if precision != "auto":
        return "float32" if precision == "float32" else "bfloat16"
    if not has_native_bfloat16(device):
        return "float32"
    is_depthwise = any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in model.modules())
    return "float32" if is_depthwise and device.type == "cpu" else "bfloat16"
