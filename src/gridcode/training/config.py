"""Settings that both training loops share. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gridcode.errors import GridcodeError, check_numbers

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with linear warm-up, cosine decay, gradient clipping, and a moving average of the weights."""

    lr: float = 1e-3
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Adam's decay rates of the first and second moment."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; biases and norms are exempt."""
    warmup: int = 200
    """Steps over which the learning rate rises from 0."""
    final_lr: float = 0.02
    """The learning rate at the end, as a share of the peak."""
    clip: float = 1.0
    """Largest gradient norm; 0 turns clipping off."""
    ema: float = 0.999
    """Decay of the moving average of the weights, reached gradually: min(ema, (1 + step) / (10 + step))."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        if not 0 < self.lr < math.inf:
            raise GridcodeError(f"optim.lr must be > 0 and finite, got {self.lr}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GridcodeError(f"optim.betas must be in [0, 1), got {self.betas}")
        if not 0 <= self.ema < 1:
            raise GridcodeError(f"optim.ema must be in [0, 1), got {self.ema}")
        for name in ("weight_decay", "warmup", "final_lr", "clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise GridcodeError(f"optim.{name} must be >= 0 and finite, got {getattr(self, name)}")


@dataclass(frozen=True)
class LoopConfig:
    """Length, batch, precision and cadence of a training run."""

    steps: int = 2000
    """Optimiser steps."""
    batch_size: int = 64
    """Examples per step, over all processes."""
    precision: Precision = "auto"
    """bf16: autocast (weights, optimiser, quantizer stay fp32); fp32: all in fp32; auto: bf16 where hardware has it;
    fp16: autocast with a loss scale, for cards without bf16."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device kind, as Lightning Fabric names them."""
    devices: int = 1
    """Processes on this machine, one per device; under torchrun its world size counts."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Each process keeps all of the model (ddp), or a share of it and of its optimiser (fsdp: CUDA, no resume)."""
    accumulate: int = 1
    """Parts in which a process takes its share of the batch, one after another: the gradient of all, memory of one."""
    recompute: bool = False
    """Compute each block again in the backward pass instead of keeping what is inside (activation checkpointing)."""
    compile: bool = False
    """Pass the model through torch.compile: slow to start, faster afterwards on most GPUs."""
    log_every: int = 20
    """Steps between two lines of the log."""
    val_every: int = 500
    """Steps between two validations (the last step always validates)."""
    val_count: int = 1000
    """Validation examples, at most."""
    checkpoint_every: int = 500
    """Steps between two checkpoints to resume from (the last step always writes one)."""
    seed: int = 0
    """Seeds weights, order, augmentation, masks and dropout."""

    def __post_init__(self) -> None:
        """Refuse counts that are not positive."""
        lengths = ("steps", "batch_size", "devices", "accumulate")
        cadence = ("log_every", "val_every", "val_count", "checkpoint_every")
        check_numbers(self, "loop.", counts=(*lengths, *cadence), not_negative=("seed",))
        if self.strategy not in ("ddp", "fsdp"):
            raise GridcodeError(f"loop.strategy must be 'ddp' or 'fsdp', got {self.strategy!r}")
        if self.precision not in get_args(Precision):
            raise GridcodeError(
                f"loop.precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}"
            )
        if self.precision == "fp16" and self.strategy == "fsdp":
            raise GridcodeError("loop.precision=fp16 cannot train with loop.strategy=fsdp; use bf16 or ddp")
        if self.seed >= 2**32:  # numpy's limit
            raise GridcodeError(f"loop.seed must be below 2^32, got {self.seed}")
