"""How latents lie in memory: what the one-pass kernels walk along.

A dense tensor with its d channels in one dimension is read as (outer, d, inner). Latents with the channels last in
memory, (…, d) or images in the channels-last format, have inner = 1: a vector's channels are neighbours. Images
(B, d, h, w) in the default format have inner = h · w: each channel is a plane. Anything else is copied first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """A dense walk over latents.

    Attributes:
        dense: The latents themselves, or a copy of them whose memory is dense; the same shape.
        outer: Blocks of d · inner numbers that follow each other.
        inner: Vectors in a block, neighbours in memory.
    """

    dense: Tensor
    outer: int
    inner: int


def layout_of(latents: Tensor, channel_dim: int) -> Layout:
    """The layout of latents.

    >>> layout_of(torch.zeros(2, 4, 3, 3), 1).inner, layout_of(torch.zeros(2, 9, 4), -1).inner
    (9, 1)
    """
    last = latents.movedim(channel_dim, -1)
    vectors = math.prod(last.shape[:-1])
    if last.is_contiguous():
        return Layout(latents, vectors, 1)
    if latents.is_contiguous():
        inner = math.prod(latents.shape[channel_dim % latents.ndim + 1 :])
        return Layout(latents, vectors // max(inner, 1), inner)
    return Layout(last.contiguous().movedim(-1, channel_dim), vectors, 1)


def like(values: Tensor, template: Tensor) -> Tensor:
    """Values of the template's shape in its dtype and memory order; copied only where they differ."""
    if values.dtype == template.dtype and values.stride() == template.stride():
        return values
    return torch.empty_like(template).copy_(values)
