"""Label files: depth as 16-bit PNG or .npy, classes as grey or palette PNG, panoptic ids as RGB PNG.

    depth      value / png_scale metres (1000: millimetres, the habit of most sensors); .npy in metres
               0 is invalid, and so is 65535, which some sensors' files (7-Scenes) hold for it
    classes    grey value or palette index = class, 0 unlabelled
    ids        R + 256 G + 65536 B = segment id, 0 unlabelled (COCO)

A value is never rescaled: gridcode.data.image would turn 16 bits into 8. JPEG is refused, because its values are
not those that were written.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.labels.source import Planes
from gridcode.errors import GridcodeError
from gridcode.files import write_atomic

_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
SATURATED = 65535
"""The value of a 16-bit depth PNG that says invalid in some data sets; it is never written as a depth."""


def read_values(source: bytes | Path, *, name: str) -> NDArray[Any]:
    """The values of a PNG as they are stored: (H, W) for grey and palette, (H, W, 3) for RGB.

    Raises:
        GridcodeError: It is no PNG, is damaged, or has an alpha channel.

    >>> file = BytesIO()
    >>> Image.fromarray(np.array([[0, 40000]], np.uint16)).save(file, "png")
    >>> read_values(file.getvalue(), name="a.png").tolist()
    [[0, 40000]]
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG",)) as image:
                image.load()
                mode, values = image.mode, np.asarray(image)
    except FileNotFoundError:
        raise GridcodeError(f"{name}: there is no such label file; every picture needs one") from None
    except _DECODE_ERRORS as error:
        line = " ".join(str(error).split())[:160]
        raise GridcodeError(f"{name}: not a readable PNG ({line}); labels must be lossless PNG files") from None
    if mode not in ("L", "P", "I", "RGB", "1") and not mode.startswith("I;16"):
        raise GridcodeError(f"{name}: a label PNG must be grey, palette or RGB, not {mode}; remove the alpha channel")
    return values


def read_depth(source: bytes | Path, *, scale: float, name: str) -> Planes:
    """A depth map: float32 metres (1, H, W), 0 where invalid.

    Args:
        source: Bytes or path of a grey PNG, or the path of an .npy file of metres.
        scale: PNG value of one metre.
        name: What to call the file in an error.

    Raises:
        GridcodeError: The file is no depth map. In .npy, NaN, infinity and what is not positive is invalid depth.
    """
    if isinstance(source, Path) and source.suffix == ".npy":
        return _read_npy(source, name=name)
    values = read_values(source, name=name)
    if values.ndim != 2:
        raise GridcodeError(f"{name}: depth must be one grey channel, not {values.shape[2]}; is this a picture of it?")
    return (np.where(values == SATURATED, 0, values).astype(np.float64) / scale).astype(np.float32)[None]


def write_depth(path: Path, planes: Planes, *, scale: float = 1000.0) -> None:
    """Write a depth map, as a 16-bit PNG or, by the path's ending, as .npy.

    Args:
        path: A path that ends in .png or .npy.
        planes: Metres (1, H, W), 0 invalid.
        scale: PNG value of one metre; a valid depth is at least 1 in the file.

    Raises:
        GridcodeError: The ending is another one, or a depth does not fit 16 bits.
    """
    buffer = BytesIO()
    if path.suffix == ".npy":
        np.save(buffer, np.asarray(planes[0], np.float32))
    elif path.suffix == ".png":
        metres = np.asarray(planes[0], np.float64)
        values = np.where(metres > 0, np.maximum(np.rint(metres * scale), 1), 0)
        if values.max(initial=0) >= SATURATED:
            raise GridcodeError(
                f"{path}: {metres.max():.4g} m times {scale:g} exceeds 65534; use a smaller scale or .npy"
            )
        Image.fromarray(values.astype(np.uint16)).save(buffer, "png")
    else:
        raise GridcodeError(f"{path}: depth is written as .png or .npy; change the ending")
    write_atomic(path, lambda part: part.write_bytes(buffer.getvalue()))


def read_classes(source: bytes | Path, *, count: int, name: str) -> Planes:
    """A semantic map as panoptic planes, each class one segment: int32 (3, H, W) of class, instance 1, crowd 0.

    Args:
        source: Bytes or path of a grey or palette PNG.
        count: Number of classes; the values are 0 (unlabelled) to ``count``.
        name: What to call the file in an error.

    Raises:
        GridcodeError: The file is no such map, or holds a class beyond ``count``.
    """
    values = read_values(source, name=name)
    if values.ndim != 2:
        raise GridcodeError(f"{name}: classes must be one grey or palette channel, not {values.shape[2]}")
    if values.max(initial=0) > count:
        raise GridcodeError(f"{name}: class {values.max()}, but there are {count} classes; add its name or correct it")
    classes = values.astype(np.int32)
    return np.stack([classes, (classes > 0).astype(np.int32), np.zeros_like(classes)])


def read_ids(source: bytes | Path, *, name: str) -> NDArray[np.int64]:
    """Segment ids of a COCO panoptic PNG, (H, W).

    Raises:
        GridcodeError: The file is no RGB PNG.
    """
    values = read_values(source, name=name).astype(np.int64)
    if values.ndim != 3:
        raise GridcodeError(f"{name}: a panoptic PNG holds ids as R + 256 G + 65536 B; this one is grey")
    ids: NDArray[np.int64] = values[..., 0] + 256 * values[..., 1] + 65536 * values[..., 2]
    return ids


def write_ids(path: Path, ids: NDArray[np.integer]) -> None:
    """Write segment ids (H, W) below 2^24 as a COCO panoptic PNG."""
    assert ids.min(initial=0) >= 0
    assert ids.max(initial=0) < 1 << 24
    channels = np.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], axis=-1).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(channels).save(buffer, "png")
    write_atomic(path, lambda part: part.write_bytes(buffer.getvalue()))


def _read_npy(path: Path, *, name: str) -> Planes:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise GridcodeError(f"{name}: there is no such label file; every picture needs one") from None
    except (OSError, ValueError, EOFError) as error:
        raise GridcodeError(f"{name}: not a readable .npy file ({error}); write it with numpy.save") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        seen = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise GridcodeError(f"{name}: a depth map must be numbers of shape (H, W), not {seen}")
    depth = values.astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))[None]
