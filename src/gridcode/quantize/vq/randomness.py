"""Where a vector quantizer's random numbers come from: its own seed and its own clock.

Every random choice (the first book, the vectors that k-means begins with, restarts, the jitter of a split) is drawn
from
a new generator on the CPU, seeded by a mix of two numbers in the state dict: ``seed``, drawn once at construction from
torch's global generator as any layer draws its weights, and ``steps``, which counts training batches. So a run that is
resumed from a state dict repeats the same choices bit for bit, processes with equal state agree without a message, and
nothing else that draws random numbers is disturbed.

The mix is SplitMix64's (Steele, Lea, Flood 2014), so that neighbouring steps share nothing.
"""

from __future__ import annotations

import torch

_MASK = 2**64 - 1


def generator_of(seed: int, step: int) -> torch.Generator:
    """A generator on the CPU for one step of one quantizer.

    Args:
        seed: The quantizer's seed.
        step: 0 for the first book, 1 for the start at the first batch, then the training batch's number.

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
