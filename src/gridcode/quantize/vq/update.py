r"""How a codebook learns: by the gradient of a loss, or by statistics of the vectors that took each codeword.

A training batch of N latents z (as the distance compares them) takes codewords q; n_k latents take codeword k, and s_k
is their sum. Means run over all N d numbers; sg is "no gradient".

- :class:`ByLoss`: the codebook is a parameter and

      loss = codebook · mean (sg z - q)² + commitment · mean (z - sg q)²

- :class:`ByEMA`: exponential moving averages; no gradient reaches the codebook and

      count_k ← decay · count_k + (1 - decay) · n_k
      sum_k   ← decay · sum_k   + (1 - decay) · s_k          codeword_k = sum_k / count_k
      loss = commitment · mean (z - sg q)²

- :class:`Discounted`: the same without the factor (1 - decay): discounted, not averaged. The ratio of sum and count is
  the same but for the first codebook's weight; counts are 1 / (1 - decay) times as large, which is what the threshold
  of a revival compares with.

Counts begin at 1 and sums at the first codebook. A codeword that nobody took keeps its place, exactly: its sum and
count shrink by the same factor.

Differs from the VQ-VAE's moving averages: no Laplace smoothing of counts, which moves codewords that nobody took, and
no correction of the averages' start (sonnet starts both at 0). Everything is joined over processes (``codebook.py``).

Reference: van den Oord, Vinyals, Kavukcuoglu 2017 (arXiv 1711.00937), section 3.2 and appendix A.1; Kolesnikov et al.
2022 (arXiv 2205.10337) and its code for the discounted sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.quantize.ranges import check_decay, check_weight
from gridcode.quantize.vq.codebook import Codebook, Statistics


class Update(ABC):
    """Moves the codewords to the vectors that take them."""

    by_gradient: ClassVar[bool]
    """Whether the codebook is a parameter that an optimiser moves; else it keeps sums and is a buffer."""

    @abstractmethod
    def loss(self, latents: Tensor, chosen: Tensor) -> Tensor:
        """The loss of latents (N, d) and the codewords they took (N, d): a scalar, 0 where N is 0."""

    @abstractmethod
    def learn(self, codebook: Codebook, batch: Statistics) -> None:
        """Take in a joined batch."""


@final
@dataclass(frozen=True)
class ByLoss(Update):
    """The codebook loss moves the codewords.

    Counts exist only where a revival needs them, as averages with a decay of 0.99.

    Args:
        codebook: Weight of the loss that moves codewords to latents; 0 leaves the codebook as it is.
        commitment: Weight of the loss that moves latents to codewords.

    Raises:
        GridcodeError: A weight is negative or not finite.

    >>> z, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> ByLoss(codebook=1.0, commitment=0.25).loss(z, q)
    tensor(0.6250)
    """

    codebook: float = 1.0
    commitment: float = 0.25
    by_gradient: ClassVar[bool] = True

    _DECAY: ClassVar[float] = 0.99

    def __post_init__(self) -> None:
        """Refuse weights that are none."""
        check_weight("ByLoss", "codebook", self.codebook)
        check_weight("ByLoss", "commitment", self.commitment)

    def loss(self, latents: Tensor, chosen: Tensor) -> Tensor:
        """Codebook and commitment loss."""
        codebook = self.codebook * _mean_square(latents.detach(), chosen)
        return codebook + self.commitment * _mean_square(latents, chosen.detach())

    def learn(self, codebook: Codebook, batch: Statistics) -> None:
        """Count; the optimiser does the rest."""
        codebook.known_counts().mul_(self._DECAY).add_(batch.counts, alpha=1 - self._DECAY)


@dataclass(frozen=True)
class Running(Update):
    """What the updates by running sums share: a commitment loss, and no gradient for the codebook."""

    decay: float
    commitment: float
    by_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_decay(type(self).__name__, self.decay)
        check_weight(type(self).__name__, "commitment", self.commitment)

    def loss(self, latents: Tensor, chosen: Tensor) -> Tensor:
        """Commitment loss."""
        return self.commitment * _mean_square(latents, chosen.detach())


@final
@dataclass(frozen=True)
class ByEMA(Running):
    """Codewords are exponential moving averages of the latents that took them.

    Args:
        decay: Share of the old averages that a batch leaves, in [0, 1).
        commitment: Weight of the loss that moves latents to codewords.

    Raises:
        GridcodeError: The decay or the weight lies outside its range.
    """

    decay: float = 0.99
    commitment: float = 0.25

    def learn(self, codebook: Codebook, batch: Statistics) -> None:
        """Count ← decay · count + (1 - decay) · n, sums likewise; used codewords are their ratio."""
        _accumulate(codebook, batch, self.decay, 1 - self.decay)


@final
@dataclass(frozen=True)
class Discounted(Running):
    """Codewords are ratios of discounted sums and counts, as in UViM.

    Args:
        decay: What a batch leaves of the old sums and counts, in [0, 1).
        commitment: Weight of the loss that moves latents to codewords; UViM has none.

    Raises:
        GridcodeError: The decay or the weight lies outside its range.
    """

    decay: float = 0.995
    commitment: float = 0.0

    def learn(self, codebook: Codebook, batch: Statistics) -> None:
        """Count ← decay · count + n, sums likewise; used codewords are their ratio."""
        _accumulate(codebook, batch, self.decay, 1.0)


def _accumulate(codebook: Codebook, batch: Statistics, kept: float, added: float) -> None:
    counts, sums = codebook.known_counts(), codebook.known_sums()
    assert batch.sums is not None
    counts.mul_(kept).add_(batch.counts, alpha=added)
    sums.mul_(kept).add_(batch.sums, alpha=added)
    # Unused codewords are left alone: for them the ratio is the same, until both underflow to 0 / 0.
    used = (batch.counts > 0)[:, None]
    ratio = sums / torch.where(used, counts[:, None], 1.0)
    codebook.codewords.copy_(torch.where(used, ratio, codebook.codewords))


def _mean_square(one: Tensor, other: Tensor) -> Tensor:
    # A sum, since the mean of an empty batch would be NaN.
    return (one - other).square().sum() / max(one.numel(), 1)
