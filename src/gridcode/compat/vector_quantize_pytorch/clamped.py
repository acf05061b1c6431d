"""Rounding between hard clamps: what ``bound_hard_clamp=True`` means, the stages of ``ResidualFSQ``.

Where FSQ bends a latent by tanh, this takes it as it is, between -1 and 1. For one channel with L levels,

    symmetric     digit = floor((L - 1) (clamp(z) + 1) / 2 + 1/2)             code = 2 / (L - 1) · digit - 1
    otherwise     digit = round(clamp(z + o / half) · half - o) + L // 2      code = digit / (L // 2) - 1

with half = (L - 1) (1 + eps) / 2, eps = 1e-3 and o = 1/2 where L is even, else 0. The gradient of rounding is 1
(straight-through) and that of the clamp is 0 beyond it. The operations and their order are those of
vector-quantize-pytorch, in float32: a residual stage multiplies what the one before has rounded off by L, so a
difference in the last bit of the first stage moves the index of the fourth for 1 vector in 10,000.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gridcode.quantize.radix import join_digits, split_indices

_EPS = 1e-3


def quantize(latents: Tensor, levels: Sequence[int], *, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Codes, straight-through, and indices.

    Args:
        latents: (..., d) in float32 or float64.
        levels: [L_1 … L_d].
        symmetric: Which of the module's two grids.

    Returns:
        Codes in the latents' shape and dtype, and int64 indices (...).

    >>> codes, indices = quantize(torch.tensor([[0.3, -7.0]]), [5, 3], symmetric=True)
    >>> codes, indices
    (tensor([[ 0.5000, -1.0000]]), tensor([3]))
    """
    level = _row(levels, latents)
    if symmetric:
        bracket = (level - 1) * (latents.clamp(-1.0, 1.0) + 1) / 2 + 0.5
        digits = bracket + (bracket.floor() - bracket).detach()
        return (2 / (level - 1)) * digits - 1, join_digits(digits.detach(), levels)
    half = (level - 1) * (1 + _EPS) / 2
    offset = torch.where(level % 2 == 0, 0.5, 0.0)
    bounded = (latents + offset / half).clamp(-1.0, 1.0) * half - offset
    rounded = bounded + (bounded.round() - bounded).detach()
    middle = level // 2
    return rounded / middle, join_digits(rounded.detach() + middle, levels)


def decode(indices: Tensor, levels: Sequence[int]) -> Tensor:
    """The codes of the symmetric grid, bit for bit those of :func:`quantize`; the other grid is that of ``FSQ``.

    Args:
        indices: int64 in [0, K), (...).
        levels: [L_1 … L_d].

    Returns:
        (..., d), float32.

    >>> decode(torch.tensor([3]), [5, 3])
    tensor([[ 0.5000, -1.0000]])
    """
    digits = torch.stack(split_indices(indices, levels), dim=-1).float()
    return (2 / (_row(levels, digits) - 1)) * digits - 1


def _row(levels: Sequence[int], like: Tensor) -> Tensor:
    # float32 for float64 latents, too: as there, where the constants are float32 in any case.
    return torch.tensor(list(levels), dtype=torch.float32, device=like.device)
