"""Halton order: each step uncovers places that lie evenly over the grid, whatever the model is sure of.

Neighbouring tokens say much of each other; drawn in the same step they do not see each other, and clash. The Halton
sequence visits a grid so that any few places in a row lie far apart:

    point_n = (phi_2(n), phi_3(n)), n = 1, 2, …      phi_b(Σ_i d_i b^i) = Σ_i d_i b^(-i-1)
    place_n = (floor(h phi_2(n)), floor(w phi_3(n)))     places that were visited before are left out

Each example starts at a random place of the sequence and goes round, as in the published code.

Reference: Besnier et al., "Halton Scheduler for Masked Generative Image Transformer", 2025 (arXiv 2503.17076).

Differs from paper: counts are the cosine schedule's, as for every sampler here (theirs: arccos), and the temperature is
constant unless ``temperature_from`` is given.
"""

from __future__ import annotations

from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.loop import Draw, Sampler, lowest


@final
class Halton(Sampler):
    """Hides the tokens that come last in the Halton sequence.

    Args:
        config: Steps and temperatures.
        grid: The shape of an example's tokens: (h, w), or (h, w, q), where the q tokens of a place come together.
    """

    def __init__(self, config: SamplerConfig, *, grid: tuple[int, ...]) -> None:
        super().__init__(config)
        self.grid = grid
        self._turn = torch.zeros(0)

    def prepare(self, tokens: Tensor, noise: Noise) -> None:
        """A random place of the sequence to start at, for each example."""
        N = tokens.shape[1]
        start = noise.integers(N)[:, None]
        self._turn = ((halton_rank(self.grid).to(tokens.device) + start) % N).float()

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.Sampler`."""
        return lowest(-self._turn, draw.left, among=draw.masked)


@lru_cache(maxsize=16)
def halton_rank(grid: tuple[int, ...]) -> Tensor:
    """When the sequence visits each token of a grid.

    Args:
        grid: (h, w), or (h, w, q).

    Returns:
        (N,) int64, a permutation of 0 … N - 1 over the flattened grid.

    >>> halton_rank((2, 3)).tolist()
    [5, 3, 1, 2, 0, 4]
    """
    h, w, q = (*grid, 1)[:3]
    seen: dict[int, None] = {}
    n = 1
    while len(seen) < h * w:
        seen.setdefault(int(h * _radical_inverse(n, 2)) * w + int(w * _radical_inverse(n, 3)))
        n += 1
    places = torch.tensor(list(seen))
    rank = torch.empty(h * w * q, dtype=torch.int64)
    rank[(places[:, None] * q + torch.arange(q)).flatten()] = torch.arange(h * w * q)
    return rank


def _radical_inverse(n: int, base: int) -> float:
    """phi_b(n): the digits of n, mirrored at the point."""
    value, share = 0.0, 1.0
    while n:
        share /= base
        n, digit = divmod(n, base)
        value += digit * share
    return value
