r"""What keeps a book alive. Without it a codeword that no latent takes is never moved again, and the book dies.

- :class:`Nothing`: codewords may die. The plain VQ-VAE, and the baseline of every study of usage.
- :class:`EntropyLoss`: weight · (mean_n H(p_n) - H(mean_n p_n)), MaskGIT's (``entropy.py``): a gradient to every
  codeword and latent.
- :class:`Splitting`: an entry out of use becomes half of the one most in use, UViM's (``splitting.py``).
- :class:`RandomRestarts`: a codeword out of use is moved onto a latent of the joined batch, chosen at random.

"Out of use" is a count under a threshold. How counts add up is said in ``update.py``: with ``ByEMA`` and ``ByLoss`` a
codeword's count is the vectors a batch that took it lately, N / K where all are used alike; with ``Discounted`` it is
1 / (1 - decay) times that, and one that was used once and then never is under 0.1 after 460 batches at 0.995. A
threshold above the count of an even use would replace the whole book over and over.

Reference: Chang et al. 2022 (arXiv 2202.04200), code; Kolesnikov et al. 2022 (arXiv 2205.10337), code; Dhariwal et al.
2020 (arXiv 2005.00341), section 3.1, for the restarts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from gridcode.quantize.vq.book import BookState
from gridcode.quantize.vq.entropy import entropy_loss
from gridcode.quantize.vq.joined import JoinedBatch
from gridcode.quantize.vq.ranges import check_positive, check_weight
from gridcode.quantize.vq.splitting import carry_out, plan_splits


class Revival(ABC):
    """Brings codewords back into use, by a loss or by replacing them."""

    counts_use: ClassVar[bool]
    """Whether it replaces codewords by their counts."""

    @abstractmethod
    def loss(self, latents: Tensor, book: Tensor) -> Tensor:
        """A scalar loss of latents (N, d) and all the codewords (K, d)."""

    @abstractmethod
    def revive(self, state: BookState, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Replace what is out of use, after the update has taken in the batch."""


@final
@dataclass(frozen=True)
class Nothing(Revival):
    """Codewords may die."""

    counts_use: ClassVar[bool] = False

    def loss(self, latents: Tensor, book: Tensor) -> Tensor:
        """0."""
        return latents.new_zeros(())

    def revive(self, state: BookState, batch: JoinedBatch, generator: torch.Generator) -> None:
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

    def loss(self, latents: Tensor, book: Tensor) -> Tensor:
        """Weight · (mean entropy of the soft choices - entropy of the mean choice)."""
        return self.weight * entropy_loss(latents, book, temperature=self.temperature)

    def revive(self, state: BookState, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Nothing is replaced."""


@final
@dataclass(frozen=True)
class Splitting(Revival):
    """The most used entry gives half of its sums and counts to one out of use.

    It needs an update that keeps sums: ``ByEMA`` or ``Discounted``.

    Args:
        threshold: Entries with a lower count are out of use; above 0.

    Raises:
        GridcodeError: The threshold is not above 0.
    """

    threshold: float = 0.1
    counts_use: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a threshold that is none."""
        check_positive("Splitting", "threshold", self.threshold)

    def loss(self, latents: Tensor, book: Tensor) -> Tensor:
        """0."""
        return latents.new_zeros(())

    def revive(self, state: BookState, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Split until no count is under the threshold."""
        counts, sums = state.known_counts(), state.known_sums()
        if not bool((counts < self.threshold).any()):
            return
        changed = carry_out(plan_splits(counts.tolist(), self.threshold), counts, sums, generator)
        state.codebook[changed] = sums[changed] / counts[changed][:, None]


@final
@dataclass(frozen=True)
class RandomRestarts(Revival):
    """Codewords out of use start again at latents of the joined batch, no latent twice.

    A restarted codeword gets twice the threshold as its count, so that without use it is tried for ln 2 / -ln decay
    batches (69 at 0.99) before it moves again. If the batch has fewer latents than there are codewords out of use,
    those
    of the lowest index go first. An optimiser's own memory of a restarted parameter (``ByLoss``) stays.

    Differs from Jukebox: there the sums and counts of a restarted codeword stay, so that it moves every batch until it
    is used; here they begin again.

    Args:
        threshold: Codewords with a lower count are out of use; above 0. Keep it well under N / K (see the module).

    Raises:
        GridcodeError: The threshold is not above 0.
    """

    threshold: float = 0.1
    counts_use: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a threshold that is none."""
        check_positive("RandomRestarts", "threshold", self.threshold)

    def loss(self, latents: Tensor, book: Tensor) -> Tensor:
        """0."""
        return latents.new_zeros(())

    def revive(self, state: BookState, batch: JoinedBatch, generator: torch.Generator) -> None:
        """Move codewords out of use onto latents."""
        places = (state.known_counts() < self.threshold).nonzero().squeeze(1)[: batch.size]
        if len(places):
            positions = torch.randperm(batch.size, generator=generator, device="cpu")[: len(places)]
            state.put(places, batch.rows(positions), 2 * self.threshold)
