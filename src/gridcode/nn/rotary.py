"""Rotary positions on a grid: attention that depends on how far two places lie apart, row by row and column by column.

Features are taken in pairs; a token at (row, column) turns the first half of the pairs by its row, the other half by
its column, at frequencies from 1 down to almost 1 / base:

    (a, b) -> (a cos t - b sin t, b cos t + a sin t),    t_j = row · base^(-4j / E)  or  column · base^(-4j / E)

so a product of two turned vectors depends on the differences of rows and of columns alone.

Reference: Su et al., "RoFormer", 2021; Heo et al., "Rotary Position Embedding for Vision Transformer", 2024 (arXiv
2403.13298), section 3.1 (axial frequencies, base 100).
"""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 100.0


def grid_turns(grid: tuple[int, ...], head_width: int, *, base: float = BASE) -> Tensor:
    """Cosine and sine of every token's angles; a place before the first is the class token's, which does not turn.

    Args:
        grid: (h, w), or (h, w, q) where the q tokens of a place turn alike.
        head_width: E, a multiple of 4.
        base: How far the frequencies reach.

    Returns:
        (2, N + 1, E / 2) float32.

    >>> grid_turns((2, 3), 8).shape
    torch.Size([2, 7, 4])
    """
    h, w, q = (*grid, 1, 1)[:3]
    frequency = base ** (-torch.arange(head_width // 4) / (head_width // 4))
    # From 1, so that no token lies where the class does.
    row, column = torch.meshgrid(torch.arange(1, h + 1), torch.arange(1, w + 1), indexing="ij")
    places = torch.stack([row, column], -1).view(-1, 2, 1).repeat_interleave(q, 0)
    angles = torch.cat([torch.zeros(1, head_width // 2), (places * frequency).flatten(1)])
    return torch.stack([angles.cos(), angles.sin()])


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
