"""How many tokens are masked: the cosine schedule, in training and in sampling.

Training (paper, A.4.2), with r_min = 1 - 2 arccos(0.45) / pi:

    r ~ U[r_min, 1],  N_masked = ceil(cos(pi/2 (1 - r)) N)

Sampling (MaskGIT, 3.2), after step t of T, with N0 masked tokens at the start:

    still masked = clamp(floor(N0 cos(pi/2 (t + 1)/T)), 1, unknown - 1)

All in float64, on the CPU: float32 gives other counts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smallest_ratio(min_masked: float) -> float:
    """The r at which ``cos(pi/2 (1 - r)) = min_masked``.

    >>> round(smallest_ratio(0.45), 5)
    0.29715
    """
    return 1 - 2 * math.acos(min_masked) / math.pi


def training_mask(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
    """Random masks for training.

    Args:
        shape: (B, N).
        min_masked: Smallest share of masked tokens, in [0, 1).
        generator: Where the randomness comes from; on the CPU.

    Returns:
        (B, N) bool on the CPU, True where a token is hidden; at least one in every row, and ``min_masked * N``.

    >>> masked = training_mask((100, 16), min_masked=0.45, generator=torch.Generator().manual_seed(0))
    >>> int(masked.sum(1).min()), int(masked.sum(1).max())
    (8, 16)
    """
    B, N = shape
    floor = smallest_ratio(min_masked)
    r = floor + (1 - floor) * torch.rand(B, generator=generator, dtype=torch.float64)
    masked = (torch.cos(math.pi / 2 * (1 - r)) * N).ceil().clamp(1, N)
    rank = torch.rand(B, N, generator=generator).argsort(1).argsort(1)
    return rank < masked[:, None]


def still_masked(unknown_at_start: Tensor, unknown: Tensor, *, step: int, steps: int) -> Tensor:
    """How many tokens of each example stay masked after a sampling step.

    Differs from paper: an example with nothing left to find gets 0, where the original's clamp would mask a
    known token.

    Args:
        unknown_at_start: (B,) masked tokens before the first step, N0.
        unknown: (B,) masked tokens before this step.
        step: The step, t, from 0.
        steps: Steps in all, T.

    Returns:
        (B,) int64.

    >>> left, fixed = torch.tensor([256]), []
    >>> for t in range(12):
    ...     now = still_masked(torch.tensor([256]), left, step=t, steps=12) if t < 11 else torch.tensor([0])
    ...     fixed.append(int(left - now)); left = now
    >>> fixed
    [3, 6, 11, 15, 18, 22, 26, 27, 31, 31, 33, 33]
    """
    # The ratio first, as in the original: at 2/3 the other order falls just below a half, and floor to one less.
    share = math.cos(math.pi / 2 * ((step + 1) / steps))
    # In Python, because not every device has float64.
    left = torch.tensor([math.floor(found * share) for found in unknown_at_start.tolist()], device=unknown.device)
    return torch.minimum(left, unknown - 1).clamp_min(1).minimum(unknown)
