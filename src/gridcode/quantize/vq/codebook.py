"""The learned codebook: its tensors, the random numbers that change it, and the batch of all processes it learns from.

**Random numbers.** Every random choice (the first codebook, the vectors that k-means begins with, restarts, the jitter
of a split) is drawn from a new generator on the CPU, seeded by a mix of two numbers in the state dict: ``seed``, drawn
once at construction from torch's global generator as any layer draws its weights, and ``steps``, which counts training
batches. So a run that is resumed from a state dict repeats the same choices bit for bit, processes with equal state
agree without a message, and nothing else that draws random numbers is disturbed. The mix is SplitMix64's (Steele, Lea,
Flood 2014), so that neighbouring steps share nothing.

**The joined batch.** Where ``torch.distributed`` is in use, a codebook that is learned from statistics must see every
process's vectors, or the processes' codebooks drift apart. Counts and sums are added over the processes; vectors are
chosen by their number in the joined batch (process 0's first), each process gives those that it holds, and a sum hands
them to all. A batch itself is never sent. Every process must make the same calls in the same order, also one with an
empty batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Codebook:
    """References to a quantizer's tensors; whoever changes them does so in place and without gradient.

    Attributes:
        codewords: Raw codewords e_k, float32, (K, d), before the distance's ``codewords``.
        counts: How much each was used lately, c_k, float32, (K,); None where nothing needs it.
        sums: The sums s_k that the codewords are means of, e_k = s_k / c_k, float32, (K, d); None where gradients move
            the codewords.
    """

    codewords: Tensor
    counts: Tensor | None
    sums: Tensor | None

    def known_counts(self) -> Tensor:
        """The counts; asking where there are none is our own mistake."""
        assert self.counts is not None
        return self.counts

    def known_sums(self) -> Tensor:
        """The sums; asking where there are none is our own mistake."""
        assert self.sums is not None
        return self.sums

    @torch.no_grad()
    def begin(self, codewords: Tensor) -> None:
        """Take a new codebook (K, d): every count is 1, so that a sum is its codeword."""
        self.codewords.copy_(codewords)
        if self.counts is not None:
            self.counts.fill_(1)
        if self.sums is not None:
            self.sums.copy_(codewords)

    @torch.no_grad()
    def put(self, places: Tensor, codewords: Tensor, count: float) -> None:
        """Replace codewords at ``places`` (m,) by ``codewords`` (m, d), as if each had been used ``count`` times."""
        self.codewords[places] = codewords.to(self.codewords.dtype)
        self.known_counts()[places] = count
        if self.sums is not None:
            self.sums[places] = codewords.to(self.sums.dtype) * count


_MASK = 2**64 - 1


def generator_of(seed: int, step: int) -> torch.Generator:
    """A generator on the CPU for one step of one quantizer.

    Args:
        seed: The quantizer's seed.
        step: 0 for the first codebook, 1 for the start at the first batch, then the training batch's number.

    >>> a, b = generator_of(3, 7), generator_of(3, 7)
    >>> bool(torch.rand((), generator=a, device="cpu") == torch.rand((), generator=b, device="cpu"))
    True
    """
    mixed = (seed + (step + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return torch.Generator(device="cpu").manual_seed((mixed ^ (mixed >> 31)) >> 1)


def jitter(count: int, channels: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    """U(1 - spread, 1 + spread), (count, channels), float32 on the CPU: what keeps copies of a codeword apart."""
    uniform = torch.rand(count, channels, generator=generator, device="cpu", dtype=torch.float32)
    return 1 + spread * (2 * uniform - 1)


@dataclass(frozen=True)
class Statistics:
    """What a joined batch says about a codebook.

    Attributes:
        counts: How many vectors took each codeword, n_k, (K,), whole numbers in float32.
        sums: The sum of those vectors, s_k, (K, d), float32; None where they are not needed.
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
        """Counts, and sums if wanted, of the vectors that took each of ``size`` codewords.

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
