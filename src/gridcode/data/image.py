"""From the bytes of an image file to uint8 pixels, grey or RGB, whatever the file's own mode.

    1, L, I;16, I        -> (H, W, 1)    16 bits become 8 by v / 257, rounded, so that white stays white
    LA                   -> (H, W, 1)    over white
    P, CMYK, YCbCr, RGB  -> (H, W, 3)
    P with alpha, RGBA   -> (H, W, 3)    over white

The camera's rotation (EXIF) is applied unless told otherwise; an animation gives its first frame. Anything Pillow
cannot decode whole is refused: a half-decoded picture would silently train a model on grey bars.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from gridcode.errors import FileError, GridcodeError, MissingFileError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"}
)
"""Lower-case endings of the files that count as images."""

# Raster formats only. Pillow would also open EPS, by starting Ghostscript on a file that nobody vouches for.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA")

# What Pillow's decoders raise on damaged input, beside its own UnidentifiedImageError (an OSError).
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


def decode_image(
    source: bytes | Path, *, name: str, orientation: Literal["exif", "stored"] = "exif"
) -> NDArray[np.uint8]:
    """Decode one image file.

    Args:
        source: The file's bytes, or its path.
        name: What to call the image in an error: its path, and its row if it has one.
        orientation: 'exif' turns the image as its EXIF orientation says, 'stored' leaves it as it lies in the file.

    Returns:
        uint8 pixels, (H, W, 3) in RGB or (H, W, 1) in grey. The array may be read-only.

    Raises:
        GridcodeError: The bytes are no image, are damaged or cut short, or hold absurdly many pixels.

    >>> file = BytesIO()
    >>> Image.new("RGBA", (3, 2), (0, 0, 0, 0)).save(file, "png")
    >>> pixels = decode_image(file.getvalue(), name="clear.png")
    >>> pixels.shape, int(pixels.min())
    ((2, 3, 3), 255)
    """
    try:
        # Pillow warns of harmless oddities in palettes and EXIF; of a decompression bomb it should do more.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_formats()) as image:
                tag = load_with_tag(image)
                return oriented(_pixels(image), tag, turned=image.format == "TIFF", orientation=orientation)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such file; was it moved after it was listed?") from None
    except UnidentifiedImageError:
        raise FileError(f"{name}: not an image in a known format; remove it, or set data.on_error=skip") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise GridcodeError(f"{name}: too many pixels ({_line(error)}); shrink the image first") from None
    except _DECODE_ERRORS as error:
        raise FileError(
            f"{name}: image damaged or cut short ({_line(error)}); replace it, or set data.on_error=skip"
        ) from None


def pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels of a Pillow image of any mode.

    Args:
        image: The image, of any of the modes in this module's table.

    Returns:
        uint8, (H, W, 3) in RGB or (H, W, 1) in grey.

    Raises:
        ValueError: The mode has no agreed range (float pixels) or no conversion (LAB).

    >>> pillow_pixels(Image.new("1", (2, 1), 1)).tolist()
    [[[255], [255]]]
    """
    return oriented(_pixels(image), orientation_tag(image), turned=False, orientation="exif")


def orientation_tag(image: Image.Image) -> int:
    """An image's EXIF orientation, 1 … 8; 1 (upright) where it has none that can be read.

    >>> orientation_tag(Image.new("L", (1, 1)))
    1
    """
    try:
        tag = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODE_ERRORS:
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def load_with_tag(image: Image.Image) -> int:
    """Load an opened image's pixels, and give its EXIF orientation.

    Of a PNG the tag comes after the pixels: to look for it, Pillow would load them, and an error there would be lost.
    """
    tag = orientation_tag(image) if image.format == "TIFF" else None  # Pillow forgets a TIFF's when it loads it
    image.load()
    return tag or orientation_tag(image)


def oriented(values: NDArray[Any], tag: int, *, turned: bool, orientation: Literal["exif", "stored"]) -> NDArray[Any]:
    """Pixels the way up that is asked for.

    Args:
        values: (H, W) or (H, W, C).
        tag: The file's EXIF orientation, 1 … 8.
        turned: Whether the values are turned by it already, as Pillow does with TIFF.
        orientation: 'exif' for upright, 'stored' for the way they lie in the file.

    >>> oriented(np.array([[1, 2]]), 6, turned=False, orientation="exif").tolist()
    [[1], [2]]
    """
    if tag == 1 or turned == (orientation == "exif"):
        return values
    if orientation == "stored":
        tag = {6: 8, 8: 6}.get(tag, tag)  # the others are their own inverse
    if tag >= 5:
        values = values.swapaxes(0, 1)
    rows, columns = (-1 if tag in (3, 4, 7, 8) else 1), (-1 if tag in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(values[::rows, ::columns])


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels as they lie in the file."""
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)[..., None]
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(np.asarray(image))[..., None]
    if image.mode == "F":
        raise ValueError("float pixels have no agreed range")
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        image = _over_white(image, grey=grey)
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[..., None] if grey else pixels


def _over_white(image: Image.Image, *, grey: bool) -> Image.Image:
    """The image on a white sheet, without alpha."""
    image = image.convert("LA" if grey else "RGBA")
    sheet = Image.new("L" if grey else "RGB", image.size, "white")
    sheet.paste(image.convert(sheet.mode), mask=image.getchannel("A"))
    return sheet


def _from_16_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """0..65535 to 0..255 by the factor 65535 / 255 = 257; Pillow's own conversion would clip at 255."""
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise ValueError(f"grey values from {wide.min()} to {wide.max()} do not fit 16 bits")
    return ((wide + 128) // 257).astype(np.uint8)


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this build of Pillow can read, the most frequent first."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _line(error: BaseException) -> str:
    """The error's text in one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
