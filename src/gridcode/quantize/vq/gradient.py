r"""How the gradient gets past the choice of a codeword, from the code q back to the latent z.

- :class:`StraightThrough`: dq/dz = 1, as if q were z.
- :class:`RotationTrick`: q is written as the rotation and scaling of z that gives q, and those are held constant:

      q = λ R z,   λ = |q| / |z|,   R = 1 - 2 r rᵀ + 2 q̂ ẑᵀ,   r = (ẑ + q̂) / |ẑ + q̂|,   dq/dz = λ R

  with ẑ = z / |z| and q̂ = q / |q|. R turns the plane of z and q by their angle and leaves the rest alone. So the
  gradient makes with z the angle that the upstream gradient makes with q, and vectors in one cell get different ones.

The codes are exactly the codewords either way: q + (m - m) for a finite m changes no bit of q but the sign of a zero.

Reference: Bengio et al. 2013 (arXiv 1308.3432); Fifty et al. 2024 (arXiv 2410.06424), section 4.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F


class Gradient(ABC):
    """Gives codes a gradient with respect to the latents."""

    @abstractmethod
    def attach(self, codes: Tensor, latents: Tensor) -> Tensor:
        """The codes (N, d), constants until now, in value; with a gradient that reaches the latents (N, d)."""


@final
@dataclass(frozen=True)
class StraightThrough(Gradient):
    """The latent receives the code's gradient unchanged.

    >>> z = torch.tensor([[0.9, 0.1]], requires_grad=True)
    >>> StraightThrough().attach(torch.tensor([[1.0, 0.0]]), z).sum().backward()
    >>> z.grad
    tensor([[1., 1.]])
    """

    def attach(self, codes: Tensor, latents: Tensor) -> Tensor:
        """The codes; d code / d latent = 1."""
        return codes + (latents - latents.detach())


@final
@dataclass(frozen=True)
class RotationTrick(Gradient):
    """The latent receives the code's gradient turned from the code's direction to its own, and scaled.

    Differs from the paper's code: no eps of 1e-6 beside the norms; where z or q is 0 there is no direction, and the
    gradient goes straight through. Where q̂ = -ẑ, which leaves r undefined, r counts as 0 and R reflects along z.

    >>> z = torch.tensor([[2.0, 0.0]], requires_grad=True)
    >>> code = RotationTrick().attach(torch.tensor([[0.0, 1.0]]), z)
    >>> code.backward(torch.tensor([[0.0, 1.0]]))
    >>> z.grad.round(decimals=4)
    tensor([[0.5000, 0.0000]])
    """

    def attach(self, codes: Tensor, latents: Tensor) -> Tensor:
        """The codes; d code / d latent = λ R."""
        z = latents.detach()
        z_norm, q_norm = z.norm(dim=1, keepdim=True), codes.norm(dim=1, keepdim=True)
        z_hat, q_hat = F.normalize(z, dim=1), F.normalize(codes, dim=1)
        r = F.normalize(z_hat + q_hat, dim=1)
        # 4.2: λ R z, with the rotation applied as two projections and never laid out.
        turned = (
            latents - 2 * r * (r * latents).sum(1, keepdim=True) + 2 * q_hat * (z_hat * latents).sum(1, keepdim=True)
        )
        directed = (z_norm > 0) & (q_norm > 0)
        scale = torch.where(directed, q_norm / torch.where(directed, z_norm, 1.0), 1.0)
        moved = torch.where(directed, scale * turned, latents)
        return codes + (moved - moved.detach())
