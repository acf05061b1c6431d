r"""What keeps a codebook alive. Without it a codeword that no latent takes is never moved again, and the codebook dies.

- :class:`Nothing`: codewords may die. The plain VQ-VAE, and the baseline of every study of usage.
- :class:`EntropyLoss`: weight · (mean_n H(p_n) - H(mean_n p_n)), MaskGIT's (``entropy.py``): a gradient to every
  codeword and latent.
- :class:`Splitting`: an entry out of use becomes half of the one most in use, UViM's.
- :class:`RandomRestarts`: a codeword out of use is moved onto a latent of the joined batch, chosen at random.

"Out of use" is a count under a threshold. ``update.py`` says how counts add up: with ``ByEMA`` and ``ByLoss`` a
codeword's count is the vectors a batch that took it lately, N / K where all are used alike; with ``Discounted`` it is
1 / (1 - decay) times that, and one that was used once and then never is under 0.1 after 460 batches at 0.995. A
threshold above the count of an even use would replace the whole codebook over and over.

**Splitting** (Linde-Buzo-Gray). With discounted counts c_k and sums s_k, while the least c is under the threshold:

    most, least = argmax c, argmin c                    (the lowest index on ties)
    s_least ← s_most · u / 2,   u ~ U(1 ± 0.001) for each channel;     s_most ← s_most / 2
    c_least ← c_most / 2;                                              c_most ← c_most / 2

So the pair shares what the most used one had: counts add up to its count exactly, sums to its sum within 0.05 % a
channel, and the two codewords lie 0.1 % apart. What the least used one had, under the threshold, is dropped. Who splits
is decided from the counts alone, with a heap: O(log K) a split. Then the splits are carried out in rounds, a round
being splits in a row that touch no entry twice, so that a round is one operation on all its rows.

Differs from UViM: splitting ends when the most used one has less than twice the threshold to share, where UViM would
halve for ever (all counts together under K times the threshold: a small batch and a large codebook).

Reference: Linde, Buzo, Gray 1980 (IEEE Trans. Communications 28(1)) for the splits; Chang et al. 2022
(arXiv 2202.04200), code; Kolesnikov et al. 2022 (arXiv 2205.10337), code; Dhariwal et al. 2020 (arXiv 2005.00341),
section 3.1, for the restarts.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.quantize.ranges import check_positive, check_weight
from gridcode.quantize.vq.codebook import Codebook, JoinedBatch, jitter
from gridcode.quantize.vq.entropy import entropy_loss


class Revival(ABC):
    """Brings codewords back into use, by a loss or by replacing them."""

    counts_use: ClassVar[bool]
    """Whether it replaces codewords by their counts."""

    @abstractmethod
    def loss(self, latents: Tensor, codewords: Tensor) -> Tensor:
        """A scalar loss of latents (N, d) and all the codewords (K, d)."""

    @abstractmethod
    def revive(self, codebook: Codebook, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Replace what is out of use, after the update has taken in the batch."""


@final
@dataclass(frozen=True)
class Nothing(Revival):
    """Codewords may die."""

    counts_use: ClassVar[bool] = False

    def loss(self, latents: Tensor, codewords: Tensor) -> Tensor:
        """0."""
        return latents.new_zeros(())

    def revive(self, codebook: Codebook, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Nothing is replaced."""


@final
@dataclass(frozen=True)
class EntropyLoss(Revival):
    """MaskGIT's entropy loss, of the softmax kind.

    With ``ByEMA`` or ``Discounted`` it moves the latents alone.

    Args:
        weight: Its weight in the loss.
        temperature: τ of the soft choices, in the unit of squared distances.

    Raises:
        GridcodeError: The weight is negative, or the temperature not above 0.
    """

    weight: float = 0.1
    temperature: float = 0.01
    counts_use: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_weight("EntropyLoss", "weight", self.weight)
        check_positive("EntropyLoss", "temperature", self.temperature)

    def loss(self, latents: Tensor, codewords: Tensor) -> Tensor:
        """Weight · (mean entropy of the soft choices - entropy of the mean choice)."""
        return self.weight * entropy_loss(latents, codewords, temperature=self.temperature)

    def revive(self, codebook: Codebook, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Nothing is replaced."""


@dataclass(frozen=True)
class ByCount(Revival):
    """What the revivals of codewords that few latents take share: a threshold of their counts, and no loss."""

    threshold: float = 0.1
    counts_use: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a threshold that is none."""
        check_positive(type(self).__name__, "threshold", self.threshold)

    def loss(self, latents: Tensor, codewords: Tensor) -> Tensor:
        """0."""
        return latents.new_zeros(())


@final
@dataclass(frozen=True)
class Splitting(ByCount):
    """The most used entry gives half of its sums and counts to one out of use.

    It needs an update that keeps sums: ``ByEMA`` or ``Discounted``.

    Args:
        threshold: Entries with a lower count are out of use; above 0.

    Raises:
        GridcodeError: The threshold is not above 0.
    """

    def revive(self, codebook: Codebook, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Split until no count is under the threshold."""
        counts, sums = codebook.known_counts(), codebook.known_sums()
        if not bool((counts < self.threshold).any()):
            return
        changed = carry_out(plan_splits(counts.tolist(), self.threshold), counts, sums, generator)
        codebook.codewords[changed] = sums[changed] / counts[changed][:, None]


@final
@dataclass(frozen=True)
class RandomRestarts(ByCount):
    """Codewords out of use start again at latents of the joined batch, no latent twice.

    A restarted codeword gets twice the threshold as its count, so that without use it is tried for ln 2 / -ln decay
    batches (69 at 0.99) before it moves again. If the batch has fewer latents than there are codewords out of use,
    those of the lowest index go first. An optimiser's own memory of a restarted parameter (``ByLoss``) stays.

    Differs from Jukebox: there the sums and counts of a restarted codeword stay, so that it moves every batch until it
    is used; here they begin again.

    Args:
        threshold: Codewords with a lower count are out of use; above 0. Keep it well under N / K (see the module).

    Raises:
        GridcodeError: The threshold is not above 0.
    """

    def revive(self, codebook: Codebook, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Move codewords out of use onto latents."""
        places = (codebook.known_counts() < self.threshold).nonzero().squeeze(1)[: batch.size]
        if len(places):
            positions = torch.randperm(batch.size, generator=generator, device="cpu")[: len(places)]
            codebook.put(places, batch.rows(positions), 2 * self.threshold)


PERTURBATION = 0.001


def plan_splits(counts: Sequence[float], threshold: float) -> list[tuple[int, int]]:
    """Who splits for whom, in order.

    Args:
        counts: c_k, 0 or more.
        threshold: Entries with less are out of use; above 0.

    Returns:
        Pairs (most, least).

    >>> plan_splits([8.0, 0.0, 1.0, 0.0], 0.1)
    [(0, 1), (0, 3)]
    """
    now = list(counts)
    lowest = [(count, index) for index, count in enumerate(now) if count < threshold]
    if not lowest:
        return []
    highest = [(-count, index) for index, count in enumerate(now)]
    heapq.heapify(lowest)
    heapq.heapify(highest)
    plan = []
    # An entry that took part in a split has at least the threshold, so that it never is among the lowest again.
    while lowest and -highest[0][0] >= 2 * threshold:
        most = highest[0][1]
        _, least = heapq.heappop(lowest)
        now[most] = now[least] = now[most] / 2
        heapq.heapreplace(highest, (-now[most], most))
        heapq.heappush(highest, (-now[least], least))
        while now[highest[0][1]] != -highest[0][0]:
            heapq.heappop(highest)
        plan.append((most, least))
    return plan


@torch.no_grad()
def carry_out(plan: Sequence[tuple[int, int]], counts: Tensor, sums: Tensor, generator: torch.Generator) -> Tensor:
    """Split in place.

    Args:
        plan: Pairs (most, least), from :func:`plan_splits`.
        counts: (K,).
        sums: (K, d).
        generator: Where u comes from, one row a split in the order of the plan.

    Returns:
        The entries that changed, int64, sorted, on the device of ``counts``.
    """
    for most, least in _rounds(plan):
        giver, taker = (torch.tensor(side, device=counts.device) for side in (most, least))
        half = sums[giver] / 2
        u = jitter(len(most), sums.shape[1], PERTURBATION, generator).to(sums)
        sums[giver], sums[taker] = half, half * u
        counts[giver] = counts[taker] = counts[giver] / 2
    return torch.tensor(sorted({index for pair in plan for index in pair}), dtype=torch.int64, device=counts.device)


def _rounds(plan: Sequence[tuple[int, int]]) -> Iterator[tuple[list[int], list[int]]]:
    """The plan in rounds: (givers, takers), no entry twice in one."""
    givers: list[int] = []
    takers: list[int] = []
    touched: set[int] = set()
    for most, least in plan:
        if most in touched or least in touched:
            yield givers, takers
            givers, takers, touched = [], [], set()
        givers.append(most)
        takers.append(least)
        touched |= {most, least}
    if plan:
        yield givers, takers
