r"""The entropy loss of binary quantizers, factorised so that no codebook is ever laid out.

A soft assignment p(c|z) ∝ exp(-|z - c|² / T) to the codes c = scale · {-1, +1}^d is a product over bits,

    p(bit_i = 1 | z) = σ(a_i)        a_i = 4 · scale · z_i / T                (the *logits*)

and the loss, in nats, is

    loss = E[H(p(c|z))] - diversity · H(E[p(c|z)])          E over the N vectors of the batch

The first term makes every assignment certain. It is a sum over bits, exactly:

    H(p(c|z)) = Σ_i h(a_i)           h(a) = softplus(-|a|) + |a| σ(-|a|)

The second makes all codes used. The mean of products is no product, so this term does not factorise; it is taken over
groups of ``group`` bits, exactly within each, and summed:

    H(E[p]) ≤ Σ_groups H(E[p_group])      equal where group >= d, or where the groups are independent in the batch

With ``group=1`` that is the bitwise sum of the BSQ paper; 9 is what the published code of MAGVIT-v2's followers and of
BSQ use for 18 bits. Within a group of g bits the mean over the batch is one matrix product of two halves,

    E[p_group] = Aᵀ B / N            A: (N, 2^⌈g/2⌉), B: (N, 2^⌊g/2⌋), the products over the first and the last bits

so that the largest tensor has max(N · d, N · 2^⌈g/2⌉, 2^g) elements: for 2^18 codes and N = 10^4, ``group=9`` makes
tensors of 3 · 10^5 elements and ``group=18``, the exact entropy, of 5 · 10^6, where N · 2^18 would be 3 · 10^9.

The mean is over the vectors that this process sees.

Reference: Yu et al. 2023 (arXiv 2310.05737), section 3.1; Zhao, Xiong, Krähenbühl 2024 (arXiv 2406.07548), section 4.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.functional import softplus

_TINY = 1e-30


def entropy_loss(logits: Tensor, *, diversity: float, group: int) -> Tensor:
    """Mean entropy of the assignments less the entropy of the mean assignment.

    Args:
        logits: a, (N, d), float32 or float64; N may be 0.
        diversity: Weight of the second term, which is not computed where it is 0.
        group: Bits whose joint distribution the second term has exactly, in [1, 20].

    Returns:
        A scalar in nats, in [-diversity · d ln 2, d ln 2]; 0 for an empty batch.

    >>> entropy_loss(torch.tensor([[30.0, 30.0], [-30.0, -30.0]]), diversity=1.0, group=2)
    tensor(-0.6931)
    """
    loss = sample_entropy(logits)
    return loss - diversity * mean_entropy(logits, group) if diversity else loss


def sample_entropy(logits: Tensor) -> Tensor:
    """E[H(p(c|z))] of logits (N, d), a scalar in nats; exact."""
    # h is even in a; with -|a| no two large numbers are subtracted. Beyond 10^4 it is 0, and infinity would make NaN.
    size = logits.abs().clamp_max(1e4)
    entropies = softplus(-size) + size * torch.sigmoid(-size)
    return entropies.sum() / max(logits.shape[0], 1)


def mean_entropy(logits: Tensor, group: int) -> Tensor:
    """Σ_groups H(E[p_group]) of logits (N, d), a scalar in nats; exact where ``group`` >= d, else an upper bound."""
    total = logits.new_zeros(())
    for first in range(0, logits.shape[1], group):
        mean = _mean_assignment(logits[:, first : first + group])
        total = total - (mean * mean.clamp_min(_TINY).log()).sum()
    return total


def _mean_assignment(logits: Tensor) -> Tensor:
    """E[p(c|z)] over all codes of these g bits, (2^⌈g/2⌉, 2^⌊g/2⌋), from logits (N, g)."""
    half = (logits.shape[1] + 1) // 2
    # Autocast would take the product in 16 bits; the meta device has none.
    with nullcontext() if logits.is_meta else torch.autocast(logits.device.type, enabled=False):
        return _assignments(logits[:, :half]).T @ _assignments(logits[:, half:]) / max(logits.shape[0], 1)


def _assignments(logits: Tensor) -> Tensor:
    """p(c|z) over all codes of these g bits, (N, 2^g), from logits (N, g)."""
    table = torch.ones_like(logits[:, :1]) if logits.shape[1] else logits.new_ones((logits.shape[0], 1))
    for bit in logits.unbind(1):
        chance = bit.unsqueeze(1)
        table = torch.cat([table * torch.sigmoid(-chance), table * torch.sigmoid(chance)], dim=1)
    return table
