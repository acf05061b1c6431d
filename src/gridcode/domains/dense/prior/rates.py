"""An encoder that learns at a share of the decoder's learning rate: an optimiser with a scale in each group."""

from __future__ import annotations

import torch

from gridcode.domains.dense.prior.base import ConditionalPrior
from gridcode.training.config import OptimConfig
from gridcode.training.optim import SCALE, make_optimizer, set_learning_rate


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
