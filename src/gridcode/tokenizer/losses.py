"""Stage I's losses: objects that take pictures and return their terms by name."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from gridcode.tokenizer.config import ReconstructionWeights


class ReconstructionLoss:
    """``l2 * mean((x - y)^2) + l1 * mean(|x - y|)`` over all pixels and channels, in [-1, 1].

    Args:
        weights: The weight of each term; a term of weight 0 is not computed.

    >>> import torch
    >>> loss = ReconstructionLoss(ReconstructionWeights(l2=1.0, l1=0.5))
    >>> terms = loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))
    >>> {name: float(term) for name, term in terms.items()}
    {'l2': 1.0, 'l1': 0.5}
    """

    def __init__(self, weights: ReconstructionWeights) -> None:
        self.weights = weights

    def __call__(self, reconstructions: Tensor, images: Tensor) -> dict[str, Tensor]:
        """The weighted terms; their sum is the loss.

        Args:
            reconstructions: (B, C, H, W), any range.
            images: (B, C, H, W) in [-1, 1].
        """
        reconstructions = reconstructions.float()
        terms = {}
        if self.weights.l2:
            terms["l2"] = self.weights.l2 * F.mse_loss(reconstructions, images)
        if self.weights.l1:
            terms["l1"] = self.weights.l1 * F.l1_loss(reconstructions, images)
        return terms
