"""The adversarial game: a discriminator D scores pictures, high for real ones; the tokenizer wants high scores too.

With s_r = D(x) the scores of real pictures and s_f = D(x') those of their reconstructions:

                      the discriminator minimises                      the tokenizer minimises
    non-saturating    mean softplus(-s_r) + mean softplus(s_f)         mean softplus(-s_f)
    hinge             mean max(0, 1 - s_r) + mean max(0, 1 + s_f)      -mean s_f

The gradient penalty R1 holds the discriminator back where the real pictures are: cost · mean |∇_x D(x)|².

Reference: Goodfellow et al. 2014 (non-saturating); Lim & Ye 2017 (hinge); Mescheder et al. 2018 (R1); Chang et al.
2022 (MaskGIT: non-saturating, R1 with cost 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(Protocol):
    """Both sides of a game on scores."""

    @property
    def even(self) -> float:
        """The discriminator's loss where it cannot tell: all scores 0."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises, a number, from scores (B,) of real pictures and of reconstructions."""

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """What the tokenizer minimises, weighted and by name, from the scores (B,) of its reconstructions."""


@final
@dataclass(frozen=True)
class NonSaturating:
    """MaskGIT's: the logistic loss of a classifier, and for the tokenizer the same with the labels exchanged.

    Attributes:
        weight: Weight of the tokenizer's term.

    >>> loss = NonSaturating(weight=1.0)
    >>> round(float(loss.discriminator(torch.zeros(2), torch.zeros(2))), 4)
    1.3863
    """

    weight: float
    even = 2 * 0.6931471805599453

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``mean softplus(-real) + mean softplus(fake)``."""
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """``weight * mean softplus(-fake)``."""
        return {"adversarial": self.weight * F.softplus(-fake.float()).mean()}


@final
@dataclass(frozen=True)
class Hinge:
    """The hinge loss: scores beyond ±1 teach the discriminator nothing more.

    Attributes:
        weight: Weight of the tokenizer's term.

    >>> float(Hinge(weight=1.0).discriminator(torch.full((2,), 3.0), torch.zeros(2)))
    1.0
    """

    weight: float
    even = 2.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """``mean max(0, 1 - real) + mean max(0, 1 + fake)``."""
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()

    def tokenizer(self, fake: Tensor) -> dict[str, Tensor]:
        """``-weight * mean fake``."""
        return {"adversarial": -self.weight * fake.float().mean()}


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """R1: the mean over pictures of the squared norm of a score's gradient by its picture.

    Args:
        scores: (B,), computed from ``images``.
        images: (B, C, H, W) in [-1, 1], with ``requires_grad``.

    Returns:
        A number that can be differentiated by the discriminator's weights.

    Differs from MaskGIT: its pictures are in [0, 1], where the same function has twice the gradient and four times
    the penalty.

    >>> x = torch.ones(2, 1, 2, 2, requires_grad=True)
    >>> float(gradient_penalty((3 * x).sum((1, 2, 3)), x))
    36.0
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()
