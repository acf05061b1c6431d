"""Whether images are what a tokenizer takes: floats in [-1, 1]. Wrong ranges would be encoded without a word."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from gridcode.errors import GridcodeError
from gridcode.quantize.radix import values_visible

_log = logging.getLogger(__name__)
_SLACK = 1e-3
"""How far rounding may carry a value out of [-1, 1]."""


def check_images(images: Tensor, *, check_range: bool) -> None:
    """Refuse images of integers, and images outside [-1, 1] where their values may be read.

    Images that hold no value below 0 may lie in [0, 1] by mistake or be bright; they pass, and the first such
    batch of a process is logged.

    Nothing is read while code is traced, compiled, exported or captured in a CUDA graph.

    Args:
        images: Of any shape.
        check_range: Whether to read the values: one reduction, and on a GPU one synchronisation.

    Raises:
        GridcodeError: Integers, NaN, infinity, or values outside [-1, 1]; the message names the conversion.

    >>> check_images(torch.full((1, 3, 2, 2), 255.0), check_range=True)
    Traceback (most recent call last):
    gridcode.errors.GridcodeError: images must be in [-1, 1], got 255 to 255; give images / 127.5 - 1
    """
    if not images.is_floating_point():
        call = {torch.uint8: "images / 127.5 - 1", torch.uint16: "images.float() / 32767.5 - 1"}.get(images.dtype)
        call = "images * 2.0 - 1" if images.dtype == torch.bool else call or "floats"
        raise GridcodeError(f"images must be floats in [-1, 1], got {images.dtype}; give {call}")
    if not check_range or (seen := seen_range(images)) is None:
        return
    low, high = seen
    if not within_range(low, high):
        raise GridcodeError(f"images must be in [-1, 1], got {low:.4g} to {high:.4g}; {_advice(low, high)}")
    if 0 <= low < high:
        warn_of_brightness()


def seen_range(values: Tensor) -> tuple[float, float] | None:
    """The least and the largest value; None where there are none, or they may not be read here.

    NaN and infinity come out as they are.
    """
    if not values.numel() or not values_visible(values) or isinstance(values, FakeTensor):
        return None
    if values.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    low, high = torch.stack(values.detach().aminmax()).tolist()
    return low, high


def within_range(low: float, high: float) -> bool:
    """Whether values from low to high lie in [-1, 1], up to rounding; NaN does not."""
    return low >= -1 - _SLACK and high <= 1 + _SLACK


@cache
def warn_of_brightness() -> None:
    """Say, once a process, that a batch had no value below 0."""
    _log.warning("images hold no value below 0: if they are in [0, 1], give images * 2 - 1")


def _advice(low: float, high: float) -> str:
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        return "mend NaN and infinity"
    if low >= 0 and high > 1.5:
        return "give images / 127.5 - 1" if high <= 256 else "give images / 32767.5 - 1"
    if low >= 0:
        return "if they are in [0, 1] up to rounding, give (images * 2 - 1).clamp(-1, 1)"
    if low >= -1.5 and high <= 1.5:
        return "give images.clamp(-1, 1)"
    return "undo the normalisation by mean and standard deviation, then give images * 2 - 1"
