"""Lightning Fabric, set up as every gridcode loop uses it: one process, or torchrun's world."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Literal

import torch

from gridcode.errors import GridcodeError
from gridcode.training.config import LoopConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(config: LoopConfig) -> Fabric:
    """A launched Fabric with the config's device, processes and precision.

    Raises:
        GridcodeError: The machine has no such device.
    """
    from lightning_fabric import Fabric, seed_everything
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    world = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fabric = Fabric(
                accelerator=config.accelerator,
                devices=world,
                precision="bf16-mixed" if resolve_precision(config) == "bf16" else "32-true",
                strategy="ddp" if world > 1 else "auto",
            )
            fabric.launch()
    except (MisconfigurationException, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise GridcodeError(
            f"cannot use accelerator={config.accelerator} with devices={world}: {reason}; try --loop.accelerator cpu"
        ) from None
    seed_everything(config.seed, verbose=False)
    return fabric


def resolve_precision(config: LoopConfig) -> Literal["fp32", "bf16"]:
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
