r"""FSQ in plain PyTorch: the definition that the fused kernels are tested against, and what runs without them.

    digit    = how many thresholds lie under z, strictly            (``forms.py``)
    code     = (digit - middle) / width
    index    = digit_1 + L_1 (digit_2 + L_2 (digit_3 + …))          (``radix.py``)
    gradient = upstream · gain · slope · (1 - tanh²(slope · z + shift))

Every function traces (``torch.compile``, ``torch.export``, ONNX) into standard operators. Latents of 16 bits are
widened to float32 first, which is exact; float64 latents stay float64. A NaN is the latent 0 with gradient 0.

At the end stands :func:`layout_of`: how latents lie in memory, which the one-pass kernels walk along. A dense tensor
with its d channels in one dimension is read as (outer, d, inner). Latents with the channels last in memory, (…, d) or
images in the channels-last format, have inner = 1: a vector's channels are neighbours. Images (B, d, h, w) in the
default format have inner = h · w: each channel is a plane. Anything else is copied first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import NotFiniteError
from gridcode.quantize.fsq.forms import CodeGrid
from gridcode.quantize.radix import join_digits, split_indices

COMPARED_LEVEL = 64
"""Up to this level a digit is counted threshold by threshold; beyond, found by binary search."""


def quantize(latents: Tensor, grid: CodeGrid, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """Codes and indices; no gradient flows.

    Args:
        latents: Floats, d channels in ``channel_dim``.
        grid: Levels, form and eps.
        channel_dim: The dimension of the channels.
        check_nan: Refuse NaN; else a NaN counts as 0.

    Returns:
        Codes in the latents' shape and dtype, and int64 indices without the channel dimension.

    Raises:
        NotFiniteError: A latent is NaN, with ``check_nan``.
    """
    if check_nan:
        refuse_nan(latents)
    z = working(latents.detach())
    digits = torch.stack(
        [digits_above(z.select(channel_dim, i), _thresholds(grid, i, z)) for i in range(len(grid.levels))],
        dim=channel_dim,
    )
    middle, width = _rows(grid, z, channel_dim, "middle", "width")
    codes = ((digits.to(z.dtype) - middle) / width).to(latents.dtype)
    return codes, join_digits(digits, grid.levels, channel_dim)


def bounded(latents: Tensor, grid: CodeGrid, *, channel_dim: int) -> Tensor:
    """The continuous codes, gain · tanh(slope · z + shift) + bias, in the latents' shape and dtype; differentiable."""
    z = working(latents)
    slope, shift, gain, bias = _rows(grid, z, channel_dim, "slope", "shift", "gain", "bias")
    return (torch.tanh(z * slope + shift) * gain + bias).to(latents.dtype)


def gradient(upstream: Tensor, latents: Tensor, grid: CodeGrid, *, channel_dim: int) -> Tensor:
    """The gradient, upstream · d code / d z, in the latents' shape and dtype; 0 where the latent is NaN."""
    z = working(latents)
    slope, shift, gain = _rows(grid, z, channel_dim, "slope", "shift", "gain")
    bend = 1 - torch.tanh(z * slope + shift).square()
    change = upstream.to(z.dtype) * (bend * (gain * slope))
    return change.masked_fill(latents.isnan(), 0.0).to(latents.dtype)


def decode(indices: Tensor, grid: CodeGrid, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """The codes of int64 indices in [0, K), with the d channels put in at ``channel_dim``."""
    wide = working_dtype(dtype)
    codes = [
        ((digit.to(wide) - channel.middle) / channel.width).to(dtype)
        for digit, channel in zip(split_indices(indices, grid.levels), grid.channels, strict=True)
    ]
    return torch.stack(codes, dim=channel_dim)


def digits_of(codes: Tensor, grid: CodeGrid, *, channel_dim: int) -> Tensor:
    """The digits of codes, whole numbers in float32 or wider, rounded one by one; not checked."""
    wide = codes.detach().to(working_dtype(codes.dtype))
    middle, width = _rows(grid, wide, channel_dim, "middle", "width")
    return (wide * width + middle).round()


def refuse_nan(latents: Tensor) -> None:
    """Count NaN among the latents.

    Raises:
        NotFiniteError: There are some.
    """
    # A NaN always reaches the sum, which is the cheapest pass; two infinities make one too, hence the count.
    if latents.detach().sum().isnan() and (count := int(latents.detach().isnan().sum())):
        raise nan_error(count, latents.numel())


def nan_error(count: int, total: int) -> NotFiniteError:
    """The error about NaN latents."""
    return NotFiniteError(
        f"FSQ: {count} of {total} latents are NaN; look for a diverging loss or an overflow before the quantizer, or "
        'pass nan="zero" to count them as 0'
    )


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """What is computed in: float64 for float64, float32 for all else."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def working(values: Tensor) -> Tensor:
    """Values in the working dtype, with 0 for NaN."""
    return torch.nan_to_num(values.to(working_dtype(values.dtype)), nan=0.0, posinf=math.inf, neginf=-math.inf)


def along_channels(values: Tensor, rank: int, channel_dim: int) -> Tensor:
    """Values (d,), shaped to broadcast along the channel dimension of a tensor of this rank."""
    shape = [1] * rank
    shape[channel_dim] = len(values)
    return values.view(shape)


def digits_above(z: Tensor, thresholds: Tensor) -> Tensor:
    """How many thresholds (L - 1,) lie under each z, strictly; int64, the shape of z."""
    if len(thresholds) >= COMPARED_LEVEL:
        return torch.bucketize(z.contiguous(), thresholds)
    count = torch.zeros_like(z, dtype=torch.int64)
    for threshold in thresholds.unbind():
        count = count + (z > threshold)
    return count


def _thresholds(grid: CodeGrid, place: int, z: Tensor) -> Tensor:
    """The thresholds of one channel in z's dtype: exact in float64, rounded down in float32."""
    channel = grid.channels[place]
    values = channel.thresholds if z.dtype == torch.float64 else channel.thresholds32
    return torch.tensor(values.tolist(), dtype=z.dtype, device=z.device)


def _rows(grid: CodeGrid, like: Tensor, channel_dim: int, *names: str) -> list[Tensor]:
    """Constants of the codebook, made from its numbers each time, to broadcast with ``like``."""
    table = [[getattr(channel, name) for channel in grid.channels] for name in names]
    rows = torch.tensor(table, dtype=like.dtype, device=like.device)
    return [along_channels(row, like.ndim, channel_dim) for row in rows.unbind()]


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
