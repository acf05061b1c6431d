"""The joined batch: the vectors of all processes as if they were one batch.

Where ``torch.distributed`` is in use, a codebook that is learned from statistics must see every process's vectors, or
the processes' books drift apart. Counts and sums are added over the processes; vectors are chosen by their number in
the
joined batch (process 0's first), each process gives those that it holds, and a sum hands them to all. A batch itself is
never sent. Every process must make the same calls in the same order; one with an empty batch too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Statistics:
    """What a joined batch says about a book.

    Attributes:
        counts: How many vectors took each codeword, n_k, (K,), whole numbers in float32.
        sums: The sum of those vectors, s_k, (K, d), float32; None where nobody asked for it.
    """

    counts: Tensor
    sums: Tensor | None


@dataclass(frozen=True)
class JoinedBatch:
    """This process's part of the joined batch.

    Attributes:
        latents: The vectors here, (n, d), detached.
        sizes: How many vectors each process has, in the order of ranks.
        rank: Which of them this process is.

    >>> batch = joined(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> batch.size, batch.rows(torch.tensor([1]))
    (2, tensor([[3., 4.]]))
    """

    latents: Tensor
    sizes: tuple[int, ...]
    rank: int

    @property
    def size(self) -> int:
        """Vectors in the joined batch, N."""
        return sum(self.sizes)

    def rows(self, positions: Tensor) -> Tensor:
        """Vectors of the joined batch by their number.

        Args:
            positions: int64 in [0, N), (m,), on the CPU and the same in every process.

        Returns:
            The vectors, (m, d), the same in every process.
        """
        local = positions.to(self.latents.device) - sum(self.sizes[: self.rank])
        here = (local >= 0) & (local < len(self.latents))
        rows = self.latents.new_zeros(len(positions), self.latents.shape[1])
        rows[here] = self.latents[local[here]]
        return summed(rows)

    def statistics(self, indices: Tensor, size: int, *, sums: bool) -> Statistics:
        """Counts, and sums if asked for, of the vectors that took each of ``size`` codewords.

        Args:
            indices: The codeword of each vector here, int64, (n,).
            size: K.
            sums: Whether the sums are wanted.
        """
        counts = summed(torch.bincount(indices, minlength=size)).to(torch.float32)
        if not sums:
            return Statistics(counts, None)
        total = torch.zeros(size, self.latents.shape[1], dtype=torch.float32, device=self.latents.device)
        return Statistics(counts, summed(total.index_add_(0, indices, self.latents.to(torch.float32))))


def joined(latents: Tensor) -> JoinedBatch:
    """The joined batch of every process's latents (n, d); n may differ and be 0."""
    if not many():
        return JoinedBatch(latents, (len(latents),), 0)
    mine = torch.tensor([len(latents)], device=latents.device)
    sizes = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, mine)
    return JoinedBatch(latents, tuple(torch.cat(sizes).tolist()), dist.get_rank())


def many() -> bool:
    """Whether there is more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed(values: Tensor) -> Tensor:
    """The sum over the processes, in place."""
    if many():
        dist.all_reduce(values)
    return values


def from_first(values: Tensor) -> None:
    """Give every process what the first one has, in place."""
    if many():
        dist.broadcast(values, src=0)
