"""How much of a codebook is used: a streaming count of indices, and what follows from it.

With n_k the times index k was seen, n their sum and p_k = n_k / n,

    used       = the number of k with n_k > 0
    entropy    = -Σ p_k log2 p_k                       bits per token
    perplexity = 2^entropy                             codes, were all used alike

``usage`` is used / K, the paper's measure (5.1). Few tokens cannot use a large codebook, so ``usage_of_ceiling``
is used / min(K, n), the share of what these tokens could have used at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.levels import check_levels, codebook_size
from gridcode.quantize.radix import check_indices, split_indices

DENSE_LIMIT = 2**24
"""Up to this codebook size a count is kept for every index (8 bytes each); beyond, only for those seen."""

_SORT_FROM = 2**20


@dataclass(frozen=True)
class Usage:
    """How much of a codebook the tokens seen so far use.

    Attributes:
        codebook_size: K.
        count: Tokens seen, n.
        used: Codes seen at least once.
        usage: used / K, in [0, 1].
        usage_of_ceiling: used / min(K, n), in [0, 1]; 0 where nothing was seen.
        perplexity: 2^entropy, in [1, K]; 0 where nothing was seen.
        entropy_bits: Bits per token of the histogram, in [0, log2 K].
        digit_usage: For each channel, the share of its L_i digits seen at least once.
    """

    codebook_size: int
    count: int
    used: int
    usage: float
    usage_of_ceiling: float
    perplexity: float
    entropy_bits: float
    digit_usage: tuple[float, ...]


@final
class UsageMeter:
    """Counts indices as they come, on the CPU. Memory: 8 K bytes up to K = 2^24, then 16 bytes a code in use.

    Args:
        levels: [L_1 … L_d] of the quantizer; a codebook without structure is the one level [K].

    >>> meter = UsageMeter([2, 3])
    >>> meter.update(torch.tensor([[0, 0], [1, 1]]))
    >>> usage = meter.compute()
    >>> usage.used, usage.perplexity, usage.digit_usage
    (2, 2.0, (1.0, 0.3333333333333333))
    """

    def __init__(self, levels: Sequence[int]) -> None:
        self.levels = check_levels(levels)
        self._counts = _new_counts(codebook_size(self.levels))

    def update(self, indices: Tensor) -> None:
        """Count indices.

        Args:
            indices: Integers in [0, K), any shape, any device.

        Raises:
            GridcodeError: They are not integers, or one is outside [0, K).
        """
        flat = check_indices(indices.detach(), self.levels, codebook_size(self.levels)).reshape(-1).cpu()
        self._counts.add(flat, torch.ones_like(flat))

    def merge(self, other: UsageMeter) -> None:
        """Add what another meter of the same levels has counted.

        Raises:
            GridcodeError: The other meter has other levels.
        """
        if other.levels != self.levels:
            raise GridcodeError(
                f"UsageMeter: cannot merge a count over levels {list(other.levels)} into one over "
                f"{list(self.levels)}; keep one meter for each quantizer"
            )
        self._counts.add(*other._counts.seen())

    def gathered(self) -> UsageMeter:
        """A new meter with the counts of all processes of ``torch.distributed``, where that is in use.

        Every process must call it; every process gets the same counts, and this meter stays as it is.
        """
        total = UsageMeter(self.levels)
        parts: list[tuple[Tensor, Tensor]] = [self._counts.seen()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts *= torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self._counts.seen())
        for indices, counts in parts:
            total._counts.add(indices, counts)
        return total

    def compute(self) -> Usage:
        """The usage so far; all zeros before the first token."""
        size = codebook_size(self.levels)
        indices, counts = self._counts.seen()
        used, count = len(indices), int(counts.sum())
        share = counts.double() / max(count, 1)
        entropy = abs(float((share * share.log2()).sum()))
        digits = zip(split_indices(indices, self.levels), self.levels, strict=True)
        return Usage(
            codebook_size=size,
            count=count,
            used=used,
            usage=used / size,
            usage_of_ceiling=used / max(min(size, count), 1),
            perplexity=2.0**entropy if used else 0.0,
            entropy_bits=entropy,
            digit_usage=tuple(len(torch.unique(digit)) / level for digit, level in digits),
        )


class _Counts(Protocol):
    """A histogram over indices."""

    def add(self, indices: Tensor, counts: Tensor) -> None:
        """Add ``counts`` (n,) to ``indices`` (n,), which may repeat."""

    def seen(self) -> tuple[Tensor, Tensor]:
        """The indices with a count above 0 in rising order, and their counts, both int64."""


def _new_counts(size: int) -> _Counts:
    return _DenseCounts(size) if size <= DENSE_LIMIT else _SparseCounts()


class _DenseCounts:
    """One count for every index."""

    def __init__(self, size: int) -> None:
        self._counts = torch.zeros(size, dtype=torch.int64, device="cpu")

    def add(self, indices: Tensor, counts: Tensor) -> None:
        self._counts.index_add_(0, indices, counts)

    def seen(self) -> tuple[Tensor, Tensor]:
        indices = self._counts.nonzero().reshape(-1)
        return indices, self._counts[indices]


class _SparseCounts:
    """Counts of the indices seen. New ones wait until there are as many as old ones; then all are sorted."""

    def __init__(self) -> None:
        empty = torch.zeros(0, dtype=torch.int64, device="cpu")
        self._seen = (empty, empty)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._waiting_length = 0

    def add(self, indices: Tensor, counts: Tensor) -> None:
        self._waiting.append((indices, counts))
        self._waiting_length += len(indices)
        if self._waiting_length >= max(_SORT_FROM, len(self._seen[0])):
            self._sort()

    def seen(self) -> tuple[Tensor, Tensor]:
        if self._waiting:
            self._sort()
        return self._seen

    def _sort(self) -> None:
        parts = [self._seen, *self._waiting]
        indices, place = torch.unique(torch.cat([part for part, _ in parts]), return_inverse=True)
        totals = torch.zeros_like(indices).index_add_(0, place, torch.cat([count for _, count in parts]))
        self._seen, self._waiting, self._waiting_length = (indices, totals), [], 0
