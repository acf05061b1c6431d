"""Label files: depth, classes and panoptic ids as PNG, TIFF or .npy, told apart by what they hold, not by their ending.

    depth      grey; integers are value / png_scale metres (1000: millimetres, the habit of most sensors), floats are
               metres. Invalid: 0 and less, NaN, infinity, and 65535, which some sensors' files (7-Scenes) hold for it
    classes    grey value or palette index = class; 0 is unlabelled, and so is ``ignore`` (255 in most data sets)
    ids        R + 256 G + 65536 B = segment id, 0 unlabelled (COCO); PNG alone

A value is never rescaled: gridcode.data.image would turn 16 bits into 8. JPEG is refused, because its values are
not those that were written.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gridcode.data.image import STRETCH, load_image, oriented, too_many_pixels
from gridcode.data.labelled.arrays import ARRAY_ERRORS, load_array
from gridcode.domains.dense.data.config import Orientation
from gridcode.domains.dense.data.source import Planes
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import write_atomic

SUFFIXES: Final = (".png", ".tif", ".tiff", ".npy", ".npz")
"""Endings of label files, in small letters."""
SATURATED: Final = 65535
"""The value of a 16-bit depth file that says invalid in some data sets; it is never written as a depth."""
MOST_UNNAMED: Final = 9_999
"""Classes without names end here: a higher value is an instance id or a mark, and would make so many classes."""


def read_values(
    source: bytes | Path, *, name: str, orientation: Orientation = "exif", max_pixels: int | None = None
) -> NDArray[Any]:
    """The values of a label file as they are stored: (H, W) for grey and palette, (H, W, 3) for RGB.

    Args:
        source: Bytes or path of a PNG, TIFF, .npy or .npz file.
        name: What to call the file in an error.
        orientation: 'exif' turns a PNG or TIFF by its own EXIF orientation, if it has one.
        max_pixels: A PNG or TIFF of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: It is no such file, is damaged, or has an alpha channel.

    >>> file = BytesIO()
    >>> Image.fromarray(np.array([[0, 40000]], np.uint16)).save(file, "png")
    >>> read_values(file.getvalue(), name="a.png").tolist()
    [[0, 40000]]
    """
    try:
        encoded = source if isinstance(source, bytes) else source.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such label file; every image needs one") from None
    except OSError as error:
        raise FileError(f"{name}: the label file cannot be read ({error.strerror}); check it") from None
    ending = source.suffix.lower() if isinstance(source, Path) else ""
    if encoded.startswith((b"\x93NUMPY", b"PK")) or ending in (".npy", ".npz"):
        return _read_array(encoded, name=name)
    try:
        loaded = load_image(encoded, formats=("PNG", "TIFF"), max_pixels=max_pixels)
        if loaded.image.format == "TIFF" and getattr(loaded.image, "is_animated", False):
            raise ValueError("several pages; one label map a file")
        mode, values = loaded.image.mode, np.asarray(loaded.image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise GridcodeError(f"{name}: {too_many_pixels(error, max_pixels)}") from None
    except Exception as error:  # Pillow's decoders let through whatever a damaged file makes them trip over
        unknown = isinstance(error, UnidentifiedImageError)  # its text names an object in memory
        line = "no PNG, no TIFF of 8 to 32 bits, or empty" if unknown else " ".join(str(error).split())[:160]
        raise FileError(
            f"{name}: not a readable PNG or TIFF ({line}); labels must be lossless PNG, TIFF or .npy files"
        ) from None
    if mode not in ("L", "P", "I", "F", "RGB", "1") and not mode.startswith("I;16"):
        raise GridcodeError(f"{name}: a label file must be grey, palette or RGB, not {mode}; remove the alpha channel")
    values = oriented(values, loaded.orientation, orientation=orientation)
    stretch = STRETCH.get(loaded.samples[:3], 1)
    return values // stretch if stretch > 1 else values


def read_depth(
    source: bytes | Path,
    *,
    scale: float,
    name: str,
    orientation: Orientation = "exif",
    max_pixels: int | None = None,
) -> Planes:
    """A depth map: float32 metres (1, H, W), 0 where invalid.

    Args:
        source: Bytes or path of a grey PNG or TIFF, or of an .npy or .npz file of (H, W), (H, W, 1) or (1, H, W).
        scale: Value of one metre in a file of integers; floats are metres.
        name: What to call the file in an error.
        orientation: As for :func:`read_values`.
        max_pixels: Likewise.

    Raises:
        GridcodeError: The file is no depth map.
    """
    values = _grey(read_values(source, name=name, orientation=orientation, max_pixels=max_pixels))
    if values.ndim != 2:
        seen = f"{values.dtype} {values.shape}"
        raise GridcodeError(
            f"{name}: depth must be one grey channel (H, W), not {seen}; is this a coloured rendering of it?"
        )
    if values.dtype.kind in "iu":
        depth = (np.where(values == SATURATED, 0, values).astype(np.float64) / scale).astype(np.float32)
    elif values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            depth = values.astype(np.float32)
    else:
        raise GridcodeError(f"{name}: depth must be numbers, not {values.dtype}; is this a mask?")
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))[None]


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


def read_classes(
    source: bytes | Path,
    *,
    count: int,
    name: str,
    ignore: int = -1,
    orientation: Orientation = "exif",
    max_pixels: int | None = None,
) -> Planes:
    """A semantic map as panoptic planes, each class one segment: int32 (3, H, W) of class, instance 1, crowd 0.

    Args:
        source: Bytes or path of a grey or palette PNG or TIFF, or of an .npy or .npz file of integers.
        count: Number of classes; the values are 0 (unlabelled) to ``count``.
        name: What to call the file in an error.
        ignore: A value that is unlabelled too.
        orientation: As for :func:`read_values`.
        max_pixels: Likewise.

    Raises:
        GridcodeError: The file is no such map, or holds a class beyond ``count``.
    """
    classes = _classes(source, name=name, ignore=ignore, orientation=orientation, max_pixels=max_pixels)
    if classes.max(initial=0) > count:
        raise GridcodeError(
            f"{name}: class {classes.max()}, but there are {count} classes; name it in classes.txt, correct the map, "
            "or set data.ignore_value"
        )
    planes = classes.astype(np.int32)
    return np.stack([planes, (planes > 0).astype(np.int32), np.zeros_like(planes)])


def highest_class(source: bytes | Path, *, name: str, ignore: int = -1, max_pixels: int | None = None) -> int:
    """The highest value of a semantic map that is not ``ignore``.

    Raises:
        GridcodeError: The file is no such map, or its values are no classes.
    """
    classes = _classes(source, name=name, ignore=ignore, orientation="stored", max_pixels=max_pixels)
    highest = int(classes.max(initial=0))
    if highest > MOST_UNNAMED:
        raise GridcodeError(
            f"{name}: value {highest} would make {highest} unnamed classes; name them in classes.txt, or set "
            f"data.ignore_value={highest} if it means unlabelled"
        )
    return highest


def read_ids(
    source: bytes | Path, *, name: str, orientation: Orientation = "exif", max_pixels: int | None = None
) -> NDArray[np.int64]:
    """Segment ids of a COCO panoptic PNG, (H, W).

    Raises:
        GridcodeError: The file is no RGB PNG.
    """
    values = read_values(source, name=name, orientation=orientation, max_pixels=max_pixels)
    if values.ndim != 3 or values.dtype != np.uint8:
        raise GridcodeError(f"{name}: a panoptic PNG holds ids as R + 256 G + 65536 B; this one is grey")
    wide = values.astype(np.int64)
    ids: NDArray[np.int64] = wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]
    return ids


def _classes(
    source: bytes | Path, *, name: str, ignore: int, orientation: Orientation, max_pixels: int | None
) -> NDArray[Any]:
    """The values of a semantic map, (H, W), with 0 for what is ignored."""
    values = _grey(read_values(source, name=name, orientation=orientation, max_pixels=max_pixels))
    if values.ndim == 3 and values.shape[2] == 3 and (values == values[..., :1]).all():
        values = values[..., 0]  # a grey map that was saved as RGB
    if values.ndim != 2:
        raise GridcodeError(
            f"{name}: classes must be one grey or palette channel; this map has {values.shape[-1]}, as a "
            "colour-coded one has: replace each colour by its class's number"
        )
    if values.dtype.kind not in "iub":
        raise GridcodeError(f"{name}: classes must be whole numbers, not {values.dtype}; save integers")
    classes = np.where(values == ignore, 0, values)
    if classes.min(initial=0) < 0:
        raise GridcodeError(
            f"{name}: class {classes.min()}; classes count from 1 and 0 is unlabelled; correct the map, or set "
            "data.ignore_value"
        )
    return classes


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    """(H, W) of (H, W, 1) and (1, H, W); other shapes as they are."""
    if values.ndim == 3 and values.shape[2] == 1:
        return values[..., 0]
    return values[0] if values.ndim == 3 and values.shape[0] == 1 else values


def write_ids(path: Path, ids: NDArray[np.integer]) -> None:
    """Write segment ids (H, W) below 2^24 as a COCO panoptic PNG."""
    assert ids.min(initial=0) >= 0
    assert ids.max(initial=0) < 1 << 24
    channels = np.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], axis=-1).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(channels).save(buffer, "png")
    write_atomic(path, lambda part: part.write_bytes(buffer.getvalue()))


def _read_array(encoded: bytes, *, name: str) -> NDArray[Any]:
    """The array of an .npy file, or the only one (or that called depth or arr_0) of an .npz file."""
    try:
        return load_array(encoded, ("depth", "arr_0"))
    except ARRAY_ERRORS as error:
        line = " ".join(str(error).split())[:160]
        raise FileError(
            f"{name}: not a readable .npy or .npz file of one array ({line}); write it with numpy.save"
        ) from None
