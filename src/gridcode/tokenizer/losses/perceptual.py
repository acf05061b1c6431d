"""Reconstruction error on features: what a network that has seen pictures finds different."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor


@final
class PerceptualLoss:
    """``weight * mean(distance(x, y))``, the distance being LPIPS's or another network's.

    Args:
        distance: Two batches of images (B, C, H, W) in [-1, 1] -> (B,), such as
            :class:`gridcode.features.lpips.LPIPS`. Its weights are not to be learned here.
        weight: Weight of the term.

    >>> import torch
    >>> loss = PerceptualLoss(lambda x, y: (x - y).abs().amax((1, 2, 3)), weight=0.1)
    >>> terms = loss(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4))
    >>> round(float(terms["perceptual"]), 6)
    0.1
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], *, weight: float) -> None:
        self.distance = distance
        self.weight = weight

    def __call__(self, reconstructions: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The weighted term, by name.

        Args:
            reconstructions: (B, C, H, W), any range; the gradient goes here.
            images: (B, C, H, W) in [-1, 1].
        """
        return {"perceptual": self.weight * self.distance(reconstructions, images).float().mean()}
