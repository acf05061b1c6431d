"""Halton order: each step uncovers places that lie evenly over the grid, whatever the model is sure of.

Neighbouring tokens say much of each other; drawn in the same step they do not see each other, and clash. The Halton
sequence visits a grid so that any few places in a row lie far apart:

    point_n = (phi_2(n), phi_3(n)), n = 1, 2, …      phi_b(Σ_i d_i b^i) = Σ_i d_i b^(-i-1)
    place_n = (floor(h phi_2(n)), floor(w phi_3(n)))     places that were visited before are left out

A grid of three axes has phi_5 for the third.

Each example starts at a random place of the sequence and goes round, as in the published code.

Reference: Besnier et al., "Halton Scheduler for Masked Generative Image Transformer", 2025 (arXiv 2503.17076).

Differs from paper: counts are the cosine schedule's, as for every sampler here (theirs: arccos), and the temperature is
constant unless ``temperature_from`` is given.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Final, final

import torch
from torch import Tensor

from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.loop import Draw, Sampler, lowest

_BASES: Final = (2, 3, 5)


@final
class Halton(Sampler):
    """Hides the tokens that come last in the Halton sequence.

    Args:
        config: Steps and temperatures.
        grid: The shape of an example's tokens: (h, w), or (h, w, q), where the q tokens of a place come together;
            (t, h, w) where it has three axes.
        axes: Sides of the grid that are places.
    """

    def __init__(self, config: SamplerConfig, *, grid: tuple[int, ...], axes: int = 2) -> None:
        super().__init__(config)
        self.grid, self.axes = grid, axes
        self._turn = torch.zeros(0)

    def prepare(self, tokens: Tensor, noise: Noise) -> None:
        """A random place of the sequence to start at, for each example."""
        N = tokens.shape[1]
        start = noise.integers(N)[:, None]
        self._turn = ((halton_rank(self.grid, self.axes).to(tokens.device) + start) % N).float()

    def hide(self, draw: Draw) -> Tensor:
        """See :class:`gridcode.prior.samplers.Sampler`."""
        return lowest(-self._turn, draw.left, among=draw.masked)


@lru_cache(maxsize=16)
def halton_rank(grid: tuple[int, ...], axes: int = 2) -> Tensor:
    """When the sequence visits each token of a grid.

    Args:
        grid: (h, w), or (h, w, q); (t, h, w) where it has three axes.
        axes: Sides of the grid that are places.

    Returns:
        (N,) int64, a permutation of 0 … N - 1 over the flattened grid.

    >>> halton_rank((2, 3)).tolist()
    [5, 3, 1, 2, 0, 4]
    """
    sides, q = grid[:axes], prod(grid[axes:])
    seen: dict[int, None] = {}
    n = 1
    while len(seen) < prod(sides):
        place = 0
        for side, base in zip(sides, _BASES, strict=False):
            place = place * side + int(side * _radical_inverse(n, base))
        seen.setdefault(place)
        n += 1
    places = torch.tensor(list(seen))
    rank = torch.empty(prod(grid), dtype=torch.int64)
    rank[(places[:, None] * q + torch.arange(q)).flatten()] = torch.arange(prod(grid))
    return rank


def _radical_inverse(n: int, base: int) -> float:
    """phi_b(n): the digits of n, mirrored at the point."""
    value, share = 0.0, 1.0
    while n:
        share /= base
        n, digit = divmod(n, base)
        value += digit * share
    return value
