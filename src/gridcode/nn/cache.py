"""Keys and values of the tokens so far, so that the next token costs one row instead of all of them again."""

from __future__ import annotations

import torch
from torch import Tensor

ROUND_TO = 64
"""Keys that are looked at come in multiples of this, those to come left out: a kernel is made for each shape."""


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
        self._stored = torch.empty(0)

    def __len__(self) -> int:
        """Tokens held."""
        return self._length

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Add tokens behind those held.

        Args:
            keys: (B, heads, n, E), of the new tokens.
            values: (B, heads, n, E).

        Returns:
            Keys and values (B, heads, S, E) of all tokens so far and some that are still empty, and which of them each
            new token may see: (n, S) bool, itself and those before it.
        """
        if not self._length:
            B, heads, _, E = keys.shape
            self._stored = keys.new_zeros(2, B, heads, self._capacity, E)
        new = torch.arange(self._length, self._length + keys.shape[2], device=keys.device)
        self._length += keys.shape[2]
        self._stored[0, :, :, new], self._stored[1, :, :, new] = keys, values.to(keys.dtype)
        S = min(-(-self._length // ROUND_TO) * ROUND_TO, self._capacity)
        seen = torch.arange(S, device=keys.device) <= new[:, None]
        return self._stored[0, :, :, :S], self._stored[1, :, :, :S], seen
