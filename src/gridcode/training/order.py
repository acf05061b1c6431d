"""The order in which examples are seen: a function of (seed, position), so a resumed run needs only a number.

Position p is the p-th example a run sees; it lies in epoch ``p // n``, each with its own permutation.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


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


def some_of(total: int, count: int) -> NDArray[np.int64]:
    """``count`` of ``total`` places, always the same ones, in order; all of them where there are no more.

    Drawn without a pattern: the first ones of a folder sorted by class are of one class, and evenly spaced ones of a
    set whose classes take turns may be of two.

    >>> some_of(4, 9).tolist(), len(set(some_of(1000, 50).tolist()))
    ([0, 1, 2, 3], 50)
    """
    if count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).choice(total, count, replace=False))
