"""bf16 where the hardware multiplies it, fp32 elsewhere, fp16 on demand."""

from __future__ import annotations

from typing import Literal

import torch

from gridcode.training.config import LoopConfig


def resolve_precision(config: LoopConfig) -> Literal["fp32", "bf16", "fp16"]:
    """What ``precision="auto"`` means on this machine."""
    if config.precision != "auto":
        return config.precision
    cuda = config.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    return "bf16" if multiplies_bfloat16(torch.device("cuda" if cuda else "cpu")) else "fp32"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bf16 products; elsewhere they are emulated, and slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # An older PyTorch cannot say; float32 is right there too.
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fast_autocast(device: torch.device) -> torch.autocast:
    """Autocast to bf16 on a device that gains from it, a context that changes nothing on others."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))
