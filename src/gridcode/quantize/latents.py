"""What latents may be: checks that quantizers share, each a line that says what was seen and what to do.

Latents have any rank; one of their dimensions, ``channel_dim``, holds the d channels of each vector. *Samples* lie
along the first dimension that does not hold the channels.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from gridcode.errors import GridcodeError, NotFiniteError
from gridcode.quantize.base import Quantizer
from gridcode.quantize.fsq.kernels.reference import working, working_dtype
from gridcode.quantize.radix import values_visible

NaNPolicy = Literal["error", "zero"]


def check_nan_policy(owner: str, nan: str) -> NaNPolicy:
    """``nan`` as it is, where it is one of the two that there are.

    Raises:
        GridcodeError: It is another.
    """
    if nan not in ("error", "zero"):
        raise GridcodeError(f'{owner}: nan is {nan!r}; choose "error" or "zero"')
    return cast("NaNPolicy", nan)


def check_place(owner: str, rank: int, channel_dim: int, what: str) -> int:
    """The channel dimension of a tensor of this rank, counted from 0.

    Raises:
        GridcodeError: There is no such dimension.

    >>> check_place("FSQ", 4, -1, "latents")
    3
    """
    if not -rank <= channel_dim < rank:
        raise GridcodeError(f"{owner}: {what} have no dimension {channel_dim}; build {owner} with another channel_dim")
    return channel_dim % rank


def check_vectors(owner: str, values: Tensor, what: str, *, channels: int, channel_dim: int) -> int:
    """The channel dimension of latents or codes, counted from 0.

    Args:
        owner: The quantizer's name, for the error.
        values: Floats with ``channels`` channels in ``channel_dim``.
        what: "latents" or "codes", for the error.
        channels: d.
        channel_dim: As the quantizer was built.

    Raises:
        GridcodeError: They are not floats, or not of that shape.
    """
    if not values.is_floating_point():
        raise GridcodeError(f"{owner}: {what} are {values.dtype}; give floats such as torch.float32")
    shape = tuple(values.shape)
    place = check_place(owner, len(shape), channel_dim, f"{what} of shape {shape}")
    if shape[place] != channels:
        raise GridcodeError(
            f"{owner}: {what} of shape {shape} have {shape[place]} channels in dimension {channel_dim}, it needs "
            f"{channels}; change one of the three"
        )
    return place


def check_codes_dtype(owner: str, dtype: torch.dtype) -> None:
    """Refuse a dtype that holds no codes.

    Raises:
        GridcodeError: It is not a floating one.
    """
    if not dtype.is_floating_point:
        raise GridcodeError(f"{owner}: codes cannot be {dtype}; choose a floating dtype such as torch.float32")


def wide_latents(owner: str, latents: Tensor, nan: NaNPolicy) -> Tensor:
    """Latents in float32 (float64 stays), free of NaN; differentiable.

    Args:
        owner: The quantizer's name, for the error.
        latents: Floats.
        nan: ``"error"`` to refuse NaN, ``"zero"`` to count it as 0 with gradient 0, as traced code always does.

    Raises:
        NotFiniteError: A latent is NaN, and ``nan`` is ``"error"``; the message counts them.
    """
    if nan == "zero" or not values_visible(latents):
        return working(latents)
    # A NaN always reaches the sum, which is the cheapest pass; two infinities make one too, hence the count.
    if latents.detach().sum().isnan() and (count := int(latents.detach().isnan().sum())):
        raise NotFiniteError(
            f"{owner}: {count} of {latents.numel()} latents are NaN; look for a diverging loss or an overflow before "
            'the quantizer, or pass nan="zero" to count them as 0'
        )
    return latents.to(working_dtype(latents.dtype))


def finite(owner: str, rows: Tensor) -> Tensor:
    """Rows (N, d) as they are, where all are finite; traced code takes 0 for what is not.

    Args:
        owner: The quantizer's name, for the error.
        rows: Latents or codes.

    Raises:
        NotFiniteError: One is NaN or infinite; the message counts them.
    """
    if not values_visible(rows):
        return torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    # What is not finite reaches the sum, the cheapest pass; a sum can also overflow by itself, hence the count.
    if not rows.detach().sum().isfinite() and (count := int((~rows.detach().isfinite()).sum())):
        raise NotFiniteError(
            f"{owner}: {count} of {rows.numel()} latents are NaN or infinite and have no nearest codeword; look for a "
            "diverging loss or an overflow before the quantizer"
        )
    return rows


def channel_place(quantizer: Quantizer, rank: int) -> int:
    """The dimension that holds a quantizer's channels in latents of this rank, counted from 0."""
    return check_place(type(quantizer).__name__, rank, quantizer.channel_dim, f"latents of rank {rank}")


def sample_shape(shape: torch.Size | tuple[int, ...], place: int) -> list[int]:
    """The shape of one value a sample, to broadcast with latents of ``shape`` whose channels lie in ``place``.

    >>> sample_shape((7, 4, 3, 3), 1), sample_shape((4, 7), 0), sample_shape((4,), 0)
    ([7, 1, 1, 1], [1, 7], [1])
    """
    first = 1 if place == 0 else 0
    return [size if dim == first else 1 for dim, size in enumerate(shape)]
