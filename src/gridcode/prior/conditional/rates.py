"""An encoder that learns at a share of the decoder's learning rate: an optimiser with a scale in each group."""

from __future__ import annotations

import torch

from gridcode.prior.conditional.base import ConditionalPrior
from gridcode.training.config import OptimConfig
from gridcode.training.optim import make_optimizer

SCALE = "scale"
"""The key of a group's share of the learning rate; checkpoints keep it."""


def scaled_optimizer(prior: ConditionalPrior, config: OptimConfig, *, encoder_lr: float) -> torch.optim.AdamW:
    """AdamW as :func:`make_optimizer` makes it, with groups of their own for the encoder.

    Args:
        prior: What is trained.
        config: Rates and decay.
        encoder_lr: Learning rate of the encoder, as a share of the others'.
    """
    groups = []
    encoder = set(prior.encoder.parameters())
    for group in make_optimizer(prior, config).param_groups:
        for scale, inside in ((1.0, False), (encoder_lr, True)):
            parameters = [p for p in group["params"] if (p in encoder) == inside]
            groups.append({"params": parameters, "weight_decay": group["weight_decay"], SCALE: scale})
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    set_learning_rate(optimizer, config.lr)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of a learning rate.

    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([{"params": [weight], SCALE: 0.1}])
    >>> set_learning_rate(optimizer, 2.0)
    >>> optimizer.param_groups[0]["lr"]
    0.2
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group[SCALE]
