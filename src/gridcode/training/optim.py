"""Optimiser, learning-rate schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gridcode.training.config import OptimConfig

Tensors = list[Tensor] | tuple[Tensor, ...]
SCALE = "scale"
"""The key of a group's share of the learning rate, where it has one of its own; checkpoints keep it."""

COPIES: Final = 5
"""fp32 copies of the weights while training: weights, gradients, two moments, the moving average."""


def make_optimizer(model: nn.Module, config: OptimConfig, *, no_decay: nn.Module | None = None) -> torch.optim.AdamW:
    """AdamW whose weight decay spares everything with fewer than two dimensions (biases, norms, vectors).

    Args:
        model: What is trained.
        config: Rates and decay.
        no_decay: A part of the model that is spared whole.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    spared = set(no_decay.parameters()) if no_decay is not None else set()
    decayed = {p for p in trained if p.ndim >= 2 and p not in spared}
    groups = [
        {"params": [p for p in trained if p in decayed], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def learning_rate(step: int, *, steps: int, config: OptimConfig) -> float:
    """Linear warm-up, then a cosine to ``final_lr * lr`` at the last step.

    Args:
        step: The step about to be taken, from 0.
        steps: Steps in all.
        config: Peak, warm-up and end.

    >>> config = OptimConfig(lr=1.0, warmup=10, final_lr=0.0)
    >>> [round(learning_rate(step, steps=110, config=config), 3) for step in (0, 9, 60, 109)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, steps - config.warmup)
    share = 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * (config.final_lr + (1 - config.final_lr) * share)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group a learning rate, or its share of it.

    >>> weight = nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([{"params": [weight], SCALE: 0.1}])
    >>> set_learning_rate(optimizer, 2.0)
    >>> optimizer.param_groups[0]["lr"]
    0.2
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(SCALE, 1.0)


def make_ema(model: nn.Module, config: OptimConfig) -> AveragedModel:
    """A moving average of the weights of ``model``: ``ema.update_parameters(model)`` after every step.

    The decay starts low, ``min(ema, (1 + n) / (10 + n))`` after n updates, so that a short run does not keep
    its random initial weights; the first update copies. The averaged network is ``ema.module``.
    """

    @torch.no_grad()
    def average(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        decay = min(config.ema, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    averaged_model = AveragedModel(model, multi_avg_fn=average)
    return averaged_model.eval().requires_grad_(False)
