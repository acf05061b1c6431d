"""Keys and values of the tokens so far, so that the next token costs one row instead of all of them again."""

from __future__ import annotations

import torch
from torch import Tensor

ROUND_TO = 64
"""On a CPU keys come in multiples of this, those to come left out: there a kernel is made for each shape."""


class KeyValues:
    """One layer's keys and values.

    Args:
        capacity: Tokens, at most.

    >>> cache = KeyValues(3)
    >>> one = torch.ones(1, 1, 1, 2)
    >>> keys, values, seen = cache.extend(one, one)
    >>> keys, values, seen = cache.extend(2 * one, 2 * one)
    >>> keys.shape, seen, len(cache)
    (torch.Size([1, 1, 3, 2]), tensor([[ True,  True, False]]), 2)
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._length = 0
        self._stored = self._seen = torch.empty(0)

    def __len__(self) -> int:
        """Tokens held."""
        return self._length

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Add tokens behind those held.

        Args:
            keys: (B, heads, n, E), of the new tokens.
            values: (B, heads, n, E).

        Returns:
            Keys and values (B, heads, S, E) of all tokens so far and some that are still empty, and which of them each
            new token may see: (n, S) bool, itself and those before it; None for all of them.
        """
        if not self._length:
            B, heads, _, E = keys.shape
            self._stored = keys.new_zeros(2, B, heads, self._capacity, E)
            self._seen = torch.ones(self._capacity, self._capacity, dtype=torch.bool, device=keys.device).tril()
        start, end = self._length, self._length + keys.shape[2]
        self._stored[0, :, :, start:end], self._stored[1, :, :, start:end] = keys, values
        self._length = end
        if keys.shape[2] == 1 and keys.device.type != "cpu":
            return self._stored[0, :, :, :end], self._stored[1, :, :, :end], None
        S = min(-(-end // ROUND_TO) * ROUND_TO, self._capacity)
        return self._stored[0, :, :, :S], self._stored[1, :, :, :S], self._seen[start:end, :S]
