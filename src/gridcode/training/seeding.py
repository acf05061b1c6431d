"""Randomness and order that depend on the seed and the step alone, so that a resumed run needs no generator's state.

Before each step the global generator is seeded from (seed, step): dropout of step 1234 is the same whether
the run came there in one go or was killed ten times.

Position p is the p-th example that a run sees; it lies in epoch ``p // n``, and each epoch has its own permutation.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any integers and names; a change in one gives an unrelated seed.

    >>> derive_seed(0, "masks", 7) == derive_seed(0, "masks", 7) != derive_seed(0, "masks", 8)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_step(seed: int, step: int, *, rank: int = 0) -> None:
    """Seed PyTorch's global generators for one training step of one process.

    Without an accelerator that is the CPU's alone: ``torch.manual_seed`` also notes a seed, and from where it was
    given, for each kind of device that may turn up, which takes longer than a small network's forward pass.
    """
    number = derive_seed(seed, "step", step, rank)
    if torch.accelerator.is_available():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by :func:`derive_seed`; its draws are the same on every device's run."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)


def indices_at(start: int, stop: int, *, count: int, seed: int) -> NDArray[np.int64]:
    """The examples at positions ``start … stop - 1``.

    Args:
        start: First position.
        stop: One past the last.
        count: Examples in the data set, n.
        seed: Determines every permutation.

    >>> sorted(indices_at(10, 15, count=5, seed=0).tolist())
    [0, 1, 2, 3, 4]
    """
    positions = np.arange(start, stop)
    out = np.empty(len(positions), np.int64)
    for epoch in np.unique(positions // count):
        here = positions // count == epoch
        out[here] = _permutation(count, seed, int(epoch))[positions[here] % count]
    return out


def fixed_sample(total: int, count: int) -> NDArray[np.int64]:
    """``count`` of ``total`` places, always the same ones, in order; all of them where there are no more.

    Drawn without a pattern: the first ones of a folder sorted by class are of one class, and evenly spaced ones of a
    set whose classes take turns may be of two.

    >>> fixed_sample(4, 9).tolist(), len(set(fixed_sample(1000, 50).tolist()))
    ([0, 1, 2, 3], 50)
    """
    if count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).choice(total, count, replace=False))
