"""Attention by the kernel that is the fastest where it runs; its cache of keys and values; rotary positions on a grid.

    softmax(q k^T / sqrt(E)) v,  with what a query may not see left out of the softmax

:class:`KeyValues` holds the keys and values of the tokens so far, so that the next token costs one row instead of all
of them again.

Rotary positions make attention depend on how far two places lie apart, row by row and column by column. Features are
taken in pairs; a token at (row, column) turns the first half of the pairs by its row, the other half by its column, at
frequencies from 1 down to almost 1 / base (a grid with a third side turns a third of the pairs by each):

    (a, b) -> (a cos t - b sin t, b cos t + a sin t),    t_j = row · base^(-4j / E)  or  column · base^(-4j / E)

so a product of two turned vectors depends on the differences of rows and of columns alone.

Reference: Su et al., "RoFormer", 2021; Heo et al., "Rotary Position Embedding for Vision Transformer", 2024 (arXiv
2403.13298), section 3.1 (axial frequencies, base 100).
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

PLAIN_UP_TO = 512
"""Tokens up to which attention on a CPU is two plain products: PyTorch's CPU kernel takes 2 to 10 times as long there
(LOG.md). Beyond, its memory, linear in the tokens, counts for more."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, dropout_p: float = 0.0, seen: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Attention, written out for short rows on a CPU, else on PyTorch's fused kernel.

    Args:
        q: (B, heads, N, E).
        k: (B, heads, S, E).
        v: (B, heads, S, E).
        dropout_p: Dropout on the weights.
        seen: (N, S) bool, which keys a query sees; all of them where not given.
        causal: Instead of ``seen``: a query sees the keys up to its own place; S = N.

    Returns:
        (B, heads, N, E), in the dtype of ``q``.

    >>> q = k = v = torch.eye(3)[None, None]
    >>> attend(q, k, v, causal=True)[0, 0, 0]
    tensor([1., 0., 0.])
    """
    if q.device.type != "cpu" or k.shape[-2] > PLAIN_UP_TO:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout_p, is_causal=causal)
    if causal:
        seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
    return attend_plainly(q, k, v, dropout_p=dropout_p, seen=seen)


def attend_plainly(q: Tensor, k: Tensor, v: Tensor, *, dropout_p: float = 0.0, seen: Tensor | None = None) -> Tensor:
    """What ``scaled_dot_product_attention`` computes, as two products and a softmax; arguments as :func:`attend`'s."""
    # Autocast would send the softmax to float32 and back; in bf16 it already sums in float32.
    with torch.autocast(q.device.type, enabled=False):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if seen is not None:  # added, not filled in: a sum has no backward pass of its own
            scores = scores + torch.zeros_like(seen, dtype=scores.dtype).masked_fill_(~seen, -torch.inf)
        return F.dropout(scores.softmax(-1), dropout_p) @ v


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


BASE = 100.0


def grid_turns(
    grid: tuple[int, ...], head_width: int, *, axes: int = 2, base: float = BASE, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Cosine and sine of every token's angles; a place before the first is the class token's, which does not turn.

    Args:
        grid: (h, w), or (h, w, q) where the q tokens of a place turn alike; (t, h, w) where it has three axes.
        head_width: E, a multiple of 4.
        axes: Sides of the grid that are places; the first turns the pairs that a third leaves over.
        base: How far the frequencies reach.
        dtype: What it is computed in.

    Returns:
        (2, N + 1, E / 2) in ``dtype``.

    >>> grid_turns((2, 3), 8).shape
    torch.Size([2, 7, 4])
    """
    sides, share = (*grid, 1)[:axes], head_width // 2 // axes
    # From 1, so that no token lies where the class does.
    places = torch.meshgrid(*(torch.arange(1, side + 1) for side in sides), indexing="ij")
    angles = []
    for place, pairs in zip(places, (head_width // 2 - share * (axes - 1), *[share] * (axes - 1)), strict=True):
        frequency = base ** (-torch.arange(pairs, dtype=dtype) / pairs)
        angles.append(place.reshape(-1, 1).repeat_interleave(prod(grid[axes:]), 0) * frequency)
    turned = F.pad(torch.cat(angles, 1), (0, 0, 1, 0))
    return torch.stack([turned.cos(), turned.sin()])


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the features of heads.

    Args:
        x: (..., N, E).
        turns: (2, N, E / 2), cosine and sine.

    Returns:
        (..., N, E) in the dtype of ``x``.

    >>> turn(torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0]], [[1.0]]]))
    tensor([[0., 1.]])
    """
    a, b = x.chunk(2, -1)
    cos, sin = turns.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
