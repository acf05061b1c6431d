"""Processes, devices and precision: Lightning Fabric, set up as every gridcode loop uses it.

One process, or torchrun's world; bf16 where the hardware multiplies it, fp32 elsewhere, fp16 on demand.
"""

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
    from lightning_fabric.plugins.precision import MixedPrecision
    from lightning_fabric.strategies.strategy import Strategy

    from gridcode.training.state import Memory


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


SHARDED = ("cuda",)
"""Kinds of devices on which a model can be sharded."""


def make_fabric(config: LoopConfig) -> Fabric:
    """A launched Fabric with the config's device, processes and precision.

    Raises:
        GridcodeError: The machine has no such device.
    """
    from gridcode.training.lightning import Fabric, MisconfigurationException, seed_everything

    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    world = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    precision = resolve_precision(config)
    strategy: str | Strategy = "ddp" if world > 1 else "auto"
    if config.strategy == "fsdp":
        strategy = _sharded(config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fabric = Fabric(
                accelerator=config.accelerator,
                devices=world,
                precision={"fp32": "32-true", "bf16": "bf16-mixed", "fp16": None}[precision],
                plugins=_scaled(config) if precision == "fp16" else None,
                strategy=strategy,
            )
            fabric.launch()
    except (MisconfigurationException, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise GridcodeError(
            f"cannot use accelerator={config.accelerator} with devices={world}: {reason}; try loop.accelerator=cpu"
        ) from None
    seed_everything(config.seed, verbose=False)
    return fabric


def loss_scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """What scales the losses of a loop in fp16, whose small gradients would else be zeros; None in other precisions."""
    scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
    return scaler


def scaler_memory(fabric: Fabric) -> dict[str, Memory]:
    """The loss scale as a checkpoint's memory, where there is one."""
    scaler = loss_scaler(fabric)
    return {} if scaler is None else {"loss scale": scaler}


def loop_device(config: LoopConfig) -> torch.device:
    """Where a loop of one process runs, for what is done beside it: its tokens, its figures."""
    if config.accelerator in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if config.accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _scaled(config: LoopConfig) -> MixedPrecision:
    """fp16 with a loss scale, on a CPU too, where Fabric by itself would take bf16."""
    from lightning_fabric.plugins.precision import MixedPrecision

    device = loop_device(config).type
    return MixedPrecision("16-mixed", device, torch.amp.GradScaler(device))


def _sharded(config: LoopConfig) -> Strategy:
    """Fabric's FSDP with everything in fp32 but what autocast casts: a quantizer's statistics are buffers.

    Raises:
        GridcodeError: There is no CUDA device, which Fabric's FSDP needs.
    """
    from lightning_fabric.strategies.fsdp import FSDPStrategy
    from torch.distributed.fsdp import MixedPrecision

    kind = config.accelerator
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in SHARDED:
        raise GridcodeError(
            f"loop.strategy=fsdp needs CUDA devices, got accelerator={config.accelerator}; use loop.strategy=ddp"
        )
    exact = MixedPrecision(param_dtype=torch.float32, reduce_dtype=torch.float32, buffer_dtype=torch.float32)
    return FSDPStrategy(mixed_precision=exact, state_dict_type="full")
