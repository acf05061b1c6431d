r"""Dithering: in training, some samples see noise in place of rounding.

With y the bounded latent and Δ the width of its channel's bins, each sample (first dimension) draws one of

    y + u,  u ~ U(-Δ/2, Δ/2)      with probability ``noise``: as if rounded with a random offset
    y                             with probability ``raw``
    round(y), straight-through    otherwise, and always outside of training

The decoder then learns values between the codes, and the encoder gets true gradients in the first two cases. The
indices are those of the rounded latents in every case.

Reference: Parker et al. 2024 (arXiv 2411.19842), section 3.2; the defaults are those of stable-audio-tools.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Dither:
    """How often a sample is dithered.

    >>> Dither(noise=0.9, raw=0.2)
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: Dither: noise=0.9 and raw=0.2 must be >= 0 and at most 1 together
    """

    noise: float = 0.5
    """Probability of uniform noise over one bin."""
    raw: float = 0.25
    """Probability of the bounded latent as it is."""

    def __post_init__(self) -> None:
        """Refuse what are no probabilities."""
        if not (self.noise >= 0 and self.raw >= 0 and self.noise + self.raw <= 1):
            raise GridcodeError(f"Dither: noise={self.noise} and raw={self.raw} must be >= 0 and at most 1 together")


def dithered(rounded: Tensor, bounded: Tensor, bins: Tensor, *, dither: Dither) -> Tensor:
    """Choose for each sample between its rounded, raw and noisy codes, by PyTorch's global random numbers.

    Args:
        rounded: Codes with straight-through gradient, any shape; the first dimension holds the samples.
        bounded: The continuous codes, of the same shape.
        bins: The width of a bin, to broadcast with the codes.
        dither: The probabilities.
    """
    shape = [rounded.shape[0] if rounded.ndim else 1] + [1] * (rounded.ndim - 1)
    draw = torch.rand(shape if rounded.ndim else [], device=rounded.device)
    noise = (torch.rand(rounded.shape, device=rounded.device, dtype=bins.dtype) - 0.5) * bins
    soft = bounded + torch.where(draw < dither.noise, noise, 0.0).to(bounded.dtype)
    return torch.where(draw < dither.noise + dither.raw, soft, rounded)
