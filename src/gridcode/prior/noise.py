"""Random numbers that are functions of what they are for, so that no draw depends on what else is in the batch.

A key is mixed from the seed and the example's number, then from the step, the place in the grid, the digit:

    key(example) = mix(seed + g example)        key(example, step) = mix(key(example) + g step)        and so on

Example 0 of four has the noise of example 0 of one, whatever the batch size, the device and the number of threads; all
of it is integer arithmetic modulo 2^64 until the last step.

Reference: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011; the mixing function and g are those of
Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014 (SplitMix64).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from gridcode.training.seeding import derive_seed

# SplitMix64's constants as int64, whose products wrap around.
_G, _C1, _C2 = (c - 2**64 if c >= 2**63 else c for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@final
@dataclass(frozen=True)
class Noise:
    """Noise of rows, each of which has a key.

    Attributes:
        keys: int64 of any shape, on the device where numbers are wanted.

    >>> noise = Noise.of_examples(0, torch.arange(4))
    >>> bool((noise.fold(7).uniform()[:1] == Noise.of_examples(0, torch.arange(1)).fold(7).uniform()).all())
    True
    >>> noise.spread(16).uniform().shape
    torch.Size([4, 16])
    """

    keys: Tensor

    @classmethod
    def of_examples(cls, seed: int, numbers: Tensor) -> Noise:
        """The noise of examples with these numbers (B,) int64, on their device."""
        return cls(_mix(numbers * _G + derive_seed(seed, "noise")))

    def fold(self, number: int) -> Noise:
        """Noise of the same shape for another purpose: a step, a digit."""
        return Noise(_mix(self.keys + _wrapped(_G * (number + 1))))

    def spread(self, count: int) -> Noise:
        """Noise of the shape (…, count): one of each place of a row."""
        return Noise(_mix(self.keys[..., None] + (torch.arange(count, device=self.keys.device) + 1) * _G))

    def __getitem__(self, index: Tensor | slice | tuple[slice, int]) -> Noise:
        """The noise of some rows or places, as a tensor is indexed."""
        return Noise(self.keys[index])

    def uniform(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Numbers in (0, 1), of the keys' shape: odd multiples of 2^-24, or in float64 of 2^-53, near the same ones."""
        bits = 52 if dtype == torch.float64 else 23
        whole: Tensor = (self.keys >> (64 - bits)) & (2**bits - 1)
        return (whole.to(dtype) + 0.5) * 0.5**bits

    def gumbel(self) -> Tensor:
        """Standard Gumbel noise, float32, of the keys' shape."""
        return -(-self.uniform().log()).log()

    def integers(self, below: int) -> Tensor:
        """Numbers in [0, below), int64, of the keys' shape."""
        return ((self.keys >> 1) & (2**62 - 1)) % below


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's output function; shifts of int64 carry the sign, which the masks take away."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _C1
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _C2
    return x ^ ((x >> 31) & (2**33 - 1))


def _wrapped(number: int) -> int:
    """The number modulo 2^64, in int64's range."""
    return (number + 2**63) % 2**64 - 2**63
