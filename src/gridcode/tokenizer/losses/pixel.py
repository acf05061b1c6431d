"""Reconstruction error on pixels: ``l2 * mean((x - y)^2) + l1 * mean(|x - y|)``."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F


@final
class PixelLoss:
    """``l2 * mean((x - y)^2) + l1 * mean(|x - y|)`` over all pixels and channels, in [-1, 1].

    Args:
        l2: Weight of the mean squared error.
        l1: Weight of the mean absolute error; a term of weight 0 is not computed.

    >>> import torch
    >>> terms = PixelLoss(l2=1.0, l1=0.5)(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))
    >>> {name: float(term) for name, term in terms.items()}
    {'l2': 1.0, 'l1': 0.5}
    """

    def __init__(self, *, l2: float = 1.0, l1: float = 0.0) -> None:
        self.l2 = l2
        self.l1 = l1

    def __call__(self, reconstructions: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms; their sum is the loss.

        Args:
            reconstructions: (B, C, H, W), any range.
            images: (B, C, H, W) in [-1, 1].
        """
        reconstructions = reconstructions.float()
        terms = {}
        if self.l2:
            terms["l2"] = self.l2 * F.mse_loss(reconstructions, images)
        if self.l1:
            terms["l1"] = self.l1 * F.l1_loss(reconstructions, images)
        return terms
