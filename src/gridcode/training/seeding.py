"""Randomness that depends on the step alone, so that a resumed run needs no generator's state.

Before each step the global generator is seeded from (seed, step): dropout of step 1234 is the same whether
the run came there in one go or was killed ten times.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any integers and names; a change in one gives an unrelated seed.

    >>> derive_seed(0, "masks", 7) == derive_seed(0, "masks", 7) != derive_seed(0, "masks", 8)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_step(seed: int, step: int, *, rank: int = 0) -> None:
    """Seed PyTorch's global generators for one training step of one process."""
    torch.manual_seed(derive_seed(seed, "step", step, rank))


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by :func:`derive_seed`; its draws are the same on every device's run."""
    return torch.Generator().manual_seed(derive_seed(*parts))
