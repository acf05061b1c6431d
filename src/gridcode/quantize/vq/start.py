r"""Where the codewords begin.

- :class:`Uniform`: every number U(-bound, bound); 1 / K for the VQ-VAE's custom, sqrt(3 / K) for MaskGIT's.
- :class:`Normal`: every number N(0, deviation²), 1 / sqrt(K) for UViM's.
- :class:`KMeans`: at the first training batch, Lloyd's algorithm on the joined batch: K of its latents, chosen at
  random, then ``iterations`` times

      take the nearest;   e_k ← the mean of the latents that took it, or e_k where none did

  which never raises the mean squared error. A batch with fewer latents than codewords begins with copies, each number
  times U(1 ± 0.001) to keep them apart.

Reference: Lloyd 1982 (IEEE Trans. Information Theory 28(2)).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from gridcode.quantize.ranges import check_positive, check_whole
from gridcode.quantize.vq.codebook import JoinedBatch, jitter
from gridcode.quantize.vq.distance import Distance, nearest

_COPIES_APART = 0.001


class Start(ABC):
    """Makes the first codebook."""

    @abstractmethod
    def draw(self, size: int, channels: int, generator: torch.Generator) -> Tensor:
        """The codebook at construction, (K, d), float32 on the CPU."""

    @abstractmethod
    def begin(self, codebook: Tensor, batch: JoinedBatch, distance: Distance, generator: torch.Generator) -> Tensor:
        """The codebook at the first training batch, (K, d), from the one drawn at construction."""


@dataclass(frozen=True)
class Drawn(Start):
    """A start that needs no data: the codebook stays as it was drawn."""

    def begin(self, codebook: Tensor, batch: JoinedBatch, distance: Distance, generator: torch.Generator) -> Tensor:
        """The codebook as it is."""
        return codebook


@final
@dataclass(frozen=True)
class Uniform(Drawn):
    """U(-bound, bound) for every number.

    Args:
        bound: Above 0; None is 1 / K.

    Raises:
        GridcodeError: The bound is not above 0.
    """

    bound: float | None = None

    def __post_init__(self) -> None:
        """Refuse a bound that is none."""
        if self.bound is not None:
            check_positive("Uniform", "bound", self.bound)

    def draw(self, size: int, channels: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers."""
        uniform = torch.rand(size, channels, generator=generator, device="cpu", dtype=torch.float32)
        return (2 * uniform - 1) * (1 / size if self.bound is None else self.bound)


@final
@dataclass(frozen=True)
class Normal(Drawn):
    """N(0, deviation²) for every number: with unit norm, directions spread evenly.

    Args:
        deviation: Above 0; None is 1 / sqrt(K).

    Raises:
        GridcodeError: The deviation is not above 0.
    """

    deviation: float | None = None

    def __post_init__(self) -> None:
        """Refuse a deviation that is none."""
        if self.deviation is not None:
            check_positive("Normal", "deviation", self.deviation)

    def draw(self, size: int, channels: int, generator: torch.Generator) -> Tensor:
        """Normal numbers."""
        normal = torch.randn(size, channels, generator=generator, device="cpu", dtype=torch.float32)
        return normal * (1 / math.sqrt(size) if self.deviation is None else self.deviation)


@final
@dataclass(frozen=True)
class KMeans(Start):
    """Lloyd's algorithm on the first training batch; until then the codebook is ``Uniform()``'s.

    Args:
        iterations: Rounds of Lloyd's algorithm; 0 leaves the codewords at random latents.

    Raises:
        GridcodeError: The iterations are not a whole number of at least 0.
    """

    iterations: int = 10

    def __post_init__(self) -> None:
        """Refuse iterations that are none."""
        check_whole("KMeans", "iterations", self.iterations, least=0)

    def draw(self, size: int, channels: int, generator: torch.Generator) -> Tensor:
        """Uniform numbers, to be replaced."""
        return Uniform().draw(size, channels, generator)

    def begin(self, codebook: Tensor, batch: JoinedBatch, distance: Distance, generator: torch.Generator) -> Tensor:
        """The codebook after the last round."""
        size, channels = codebook.shape
        order = torch.randperm(batch.size, generator=generator, device="cpu")
        codewords = batch.rows(order[torch.arange(size, device="cpu") % batch.size]).to(torch.float32)
        if batch.size < size:
            extra = jitter(size - batch.size, channels, _COPIES_APART, generator)
            codewords[batch.size :] *= extra.to(codewords)
        for _ in range(self.iterations):
            found = nearest(batch.latents, distance.codewords(codewords).to(batch.latents.dtype))
            statistics = batch.statistics(found, size, sums=True)
            assert statistics.sums is not None
            taken = (statistics.counts > 0)[:, None]
            mean = statistics.sums / torch.where(taken, statistics.counts[:, None], 1.0)
            codewords = torch.where(taken, mean, codewords)
        return codewords
