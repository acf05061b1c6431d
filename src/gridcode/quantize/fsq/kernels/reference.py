r"""FSQ in plain PyTorch: the definition that the fused kernels are tested against, and what runs without them.

    digit    = how many thresholds lie under z, strictly            (``forms.py``)
    code     = (digit - middle) / width
    index    = digit_1 + L_1 (digit_2 + L_2 (digit_3 + …))          (``radix.py``)
    gradient = upstream · gain · slope · (1 - tanh²(slope · z + shift))

Every function traces (``torch.compile``, ``torch.export``, ONNX) into standard operators. Latents of 16 bits are
widened to float32 first, which is exact; float64 latents stay float64. A NaN is the latent 0 with gradient 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.forms import Book
from gridcode.quantize.radix import join_digits, split_indices

COMPARED_LEVEL = 64
"""Up to this level a digit is counted threshold by threshold; beyond, found by binary search."""


def quantize(latents: Tensor, book: Book, *, channel_dim: int, check_nan: bool) -> tuple[Tensor, Tensor]:
    """Codes and indices; no gradient flows.

    Args:
        latents: Floats, d channels in ``channel_dim``.
        book: Levels, form and eps.
        channel_dim: The dimension of the channels.
        check_nan: Refuse NaN; else a NaN counts as 0.

    Returns:
        Codes in the latents' shape and dtype, and int64 indices without the channel dimension.

    Raises:
        GridcodeError: A latent is NaN, with ``check_nan``.
    """
    if check_nan:
        refuse_nan(latents)
    z = working(latents.detach())
    digits = torch.stack(
        [digits_above(z.select(channel_dim, i), _thresholds(book, i, z)) for i in range(len(book.levels))],
        dim=channel_dim,
    )
    middle, width = _rows(book, z, channel_dim, "middle", "width")
    codes = ((digits.to(z.dtype) - middle) / width).to(latents.dtype)
    return codes, join_digits(digits, book.levels, channel_dim)


def bounded(latents: Tensor, book: Book, *, channel_dim: int) -> Tensor:
    """The continuous codes, gain · tanh(slope · z + shift) + bias, in the latents' shape and dtype; differentiable."""
    z = working(latents)
    slope, shift, gain, bias = _rows(book, z, channel_dim, "slope", "shift", "gain", "bias")
    return (torch.tanh(z * slope + shift) * gain + bias).to(latents.dtype)


def gradient(upstream: Tensor, latents: Tensor, book: Book, *, channel_dim: int) -> Tensor:
    """The gradient, upstream · d code / d z, in the latents' shape and dtype; 0 where the latent is NaN."""
    z = working(latents)
    slope, shift, gain = _rows(book, z, channel_dim, "slope", "shift", "gain")
    bend = 1 - torch.tanh(z * slope + shift).square()
    change = upstream.to(z.dtype) * (bend * (gain * slope))
    return change.masked_fill(latents.isnan(), 0.0).to(latents.dtype)


def decode(indices: Tensor, book: Book, *, channel_dim: int, dtype: torch.dtype) -> Tensor:
    """The codes of int64 indices in [0, K), with the d channels put in at ``channel_dim``."""
    wide = working_dtype(dtype)
    codes = [
        ((digit.to(wide) - channel.middle) / channel.width).to(dtype)
        for digit, channel in zip(split_indices(indices, book.levels), book.channels, strict=True)
    ]
    return torch.stack(codes, dim=channel_dim)


def digits_of(codes: Tensor, book: Book, *, channel_dim: int) -> Tensor:
    """The digits of codes, whole numbers in float32 or wider, rounded one by one; not checked."""
    wide = codes.detach().to(working_dtype(codes.dtype))
    middle, width = _rows(book, wide, channel_dim, "middle", "width")
    return (wide * width + middle).round()


def refuse_nan(latents: Tensor) -> None:
    """Count NaN among the latents.

    Raises:
        GridcodeError: There are some.
    """
    # A NaN always reaches the sum, which is the cheapest pass; two infinities make one too, hence the count.
    if latents.detach().sum().isnan() and (count := int(latents.detach().isnan().sum())):
        raise nan_error(count, latents.numel())


def nan_error(count: int, total: int) -> GridcodeError:
    """What is said of NaN latents."""
    return GridcodeError(
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


def _thresholds(book: Book, place: int, z: Tensor) -> Tensor:
    """The thresholds of one channel in z's dtype: exact in float64, rounded down in float32."""
    channel = book.channels[place]
    values = channel.thresholds if z.dtype == torch.float64 else channel.thresholds32
    return torch.tensor(values.tolist(), dtype=z.dtype, device=z.device)


def _rows(book: Book, like: Tensor, channel_dim: int, *names: str) -> list[Tensor]:
    """Constants of the book, made from its numbers each time, to broadcast with ``like``."""
    table = [[getattr(channel, name) for channel in book.channels] for name in names]
    rows = torch.tensor(table, dtype=like.dtype, device=like.device)
    return [along_channels(row, like.ndim, channel_dim) for row in rows.unbind()]
