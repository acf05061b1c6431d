"""Images and labels as arrays have them: other types, ranges and layouts, each taken over or refused by name.

uint8           as it is; a stack that holds only 0 and 1 is refused, because it would be black
uint16          8 bits by v / 257, as for 16-bit files; refused where no value exceeds 255
bool            black and white
float           [0, 1], up to 1e-4 of rounding
labels          integers, bool, or floats that are whole; negative means none
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridcode.errors import GridcodeError

_ROUNDING = 1e-4


def pixels_of(
    values: NDArray[np.generic], where: str, *, stack: bool = False, channels_first: bool = False
) -> NDArray[np.uint8]:
    """An image, or a stack of images of one size, as uint8 with the channels last.

    Args:
        values: (H, W), (H, W, C) or (C, H, W) with C of 1 or 3; in a stack with N before them.
        where: What to call it in an error.
        stack: Whether there are N images.
        channels_first: Which layout is meant where both would do.

    Returns:
        uint8, (H, W, C) or (N, H, W, C).

    Raises:
        GridcodeError: Another type, shape or range.

    >>> pixels_of(np.ones((3, 4, 5), np.float32), "a").shape
    (4, 5, 3)
    """
    return _to_uint8(_channels_last(values, where, stack=stack, channels_first=channels_first), where, stack=stack)


def labels_of(values: NDArray[np.generic], where: str) -> NDArray[np.int64]:
    """Labels as int64, -1 for every negative one.

    Args:
        values: Of any shape.
        where: What to call them in an error.

    Raises:
        GridcodeError: They are no whole numbers.

    >>> labels_of(np.array([1.0, 0.0, -7.0]), "labels").tolist()
    [1, 0, -1]
    """
    whole = values.dtype.kind in "biu"
    if values.dtype.kind == "f":
        whole = bool(np.isfinite(values).all() and (values == np.trunc(values)).all())
    if not whole:
        raise GridcodeError(f"{where} must be an integer, not {_some(values)}; give class numbers")
    if values.size and not -(2.0**62) < float(values.min()) <= float(values.max()) < 2.0**62:
        raise GridcodeError(f"{where} must be a class number, not {_some(values)}")
    return np.maximum(values.astype(np.int64), -1)


def _channels_last(
    values: NDArray[np.generic], where: str, *, stack: bool, channels_first: bool
) -> NDArray[np.generic]:
    shape = values.shape[1:] if stack else values.shape
    names = "(N, H, W), (N, H, W, C) or (N, C, H, W)" if stack else "(H, W), (H, W, C) or (C, H, W)"
    if 0 in values.shape:
        raise GridcodeError(f"{where}: an image must not be empty, but its shape is {values.shape}")
    if len(shape) == 2:
        if stack and shape[0] > 1 and (values.shape[0] == 3 or shape[1] in (1, 3)):
            raise GridcodeError(
                f"{where}: {values.shape} may be one image or many; give (N, H, W, C), for one image images[None]"
            )
        return values[..., None]
    if len(shape) == 3:
        first, last = shape[0] in (1, 3), shape[2] in (1, 3)
        if first and (channels_first or not last):
            return np.moveaxis(values, -3, -1)
        if last:
            return values
    raise GridcodeError(f"{where}: an image must be {names} with C of 1 or 3, not {values.dtype} {values.shape}")


def _to_uint8(values: NDArray[np.generic], where: str, *, stack: bool) -> NDArray[np.uint8]:
    kind = values.dtype
    if kind == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if kind == np.uint8:
        if stack and int(values.max()) == 1:
            raise GridcodeError(f"{where}: uint8 images of only 0 and 1 would be black; multiply them by 255")
        return values.view(np.uint8)
    if kind.kind not in "fu" or (kind.kind == "u" and kind != np.uint16):
        raise GridcodeError(f"{where}: an image must be uint8 or float in [0, 1], not {kind}; images.astype('uint8')")
    low, high = float(values.min()), float(values.max())
    if kind == np.uint16:
        if high <= 255:
            raise GridcodeError(
                f"{where}: uint16 images up to {high:.0f} look like 8 bits in wide numbers; images.astype('uint8')"
            )
        narrow: NDArray[np.uint8] = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return narrow
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise GridcodeError(
            f"{where}: float images must lie in [0, 1], not [{low:.3g}, {high:.3g}]; {_advice(low, high)}"
        )
    scaled: NDArray[np.uint8] = np.rint(values.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
    return scaled


def _advice(low: float, high: float) -> str:
    if not np.isfinite([low, high]).all():
        return "mend NaN and infinity"
    if low < 0:
        return "give (images + 1) / 2" if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING else "undo Normalize"
    return "give images / 255" if high <= 255 else "give images / 65535"


def _some(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} {np.array2string(values.ravel()[:3], threshold=3)}"
