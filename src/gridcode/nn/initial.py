"""Initial weights that keep the size of what goes through them, at any width.

    linear, convolution: W ~ N(0, 1 / inputs), biases 0;    vectors that are looked up: N(0, 1 / D)

A fixed deviation of 0.02, as BERT has it, is that of 2500 inputs: in a narrow network positions and attention are then
too weak to begin with, and it learns slowly which token belongs to which patch of a picture.

Reference: LeCun et al., "Efficient BackProp", 1998, section 4.6; Flax's defaults, which UViM's published code has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def scaled_normal_(module: nn.Module) -> None:
    """Initialise linear, convolution and embedding weights, in place.

    >>> torch.manual_seed(0) and None
    >>> layer = nn.Linear(400, 400)
    >>> scaled_normal_(layer)
    >>> round(layer.weight.std().item(), 2), layer.bias.abs().max().item()
    (0.05, 0.0)
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            inputs = part.weight[0].numel()
            nn.init.normal_(part.weight, std=inputs**-0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            scaled_vectors_(part.weight)


@torch.no_grad()
def scaled_vectors_(vectors: Tensor) -> None:
    """Initialise vectors (…, D) of squared length 1 on average, in place.

    >>> vectors = torch.empty(500, 16)
    >>> scaled_vectors_(vectors)
    >>> 0.9 < vectors.square().sum(-1).mean() < 1.1
    tensor(True)
    """
    nn.init.normal_(vectors, std=vectors.shape[-1] ** -0.5)
