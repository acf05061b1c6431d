"""From the bytes of an image file to uint8 pixels, grey or RGB.

The file may be of any mode:

    1, L                      -> (H, W, 1)
    I;16, I                   -> (H, W, 1)    16 bits become 8 by v / 257, rounded, so that white stays white
    LA                        -> (H, W, 1)    over white
    P, CMYK, YCbCr, RGB       -> (H, W, 3)    of 16 bits per channel the upper 8
    P with alpha, PA, RGBA    -> (H, W, 3)    over white
    one transparent colour    ->              white, where all bits of a pixel are that colour

The camera's rotation (EXIF) is applied unless told otherwise;
an animation gives its first frame. Metadata never cost an image (:mod:`gridcode.data.metadata`), but pixels that
Pillow cannot decode whole are refused: a half-decoded image would silently train a model on grey bars.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from gridcode.data.metadata import bare
from gridcode.errors import FileError, GridcodeError, MissingFileError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga"}
)
"""Lower-case endings of the files that count as images."""

# Raster formats only. Pillow would also open EPS, by starting Ghostscript on a file that nobody vouches for.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA")

_limit = threading.Lock()


def decode_image(
    source: bytes | Path,
    *,
    name: str,
    orientation: Literal["exif", "stored"] = "exif",
    max_pixels: int | None = None,
) -> NDArray[np.uint8]:
    """Decode one image file.

    Args:
        source: The file's bytes, or its path.
        name: What to call the image in an error: its path, and its row if it has one.
        orientation: 'exif' turns the image as its EXIF orientation says, 'stored' leaves it as it lies in the file.
        max_pixels: An image of more is refused before it is decoded; None for Pillow's own limit.

    Returns:
        uint8 pixels, (H, W, 3) in RGB or (H, W, 1) in grey. The array may be read-only.

    Raises:
        GridcodeError: The bytes are no image, are damaged or cut short, or hold too many pixels.

    >>> file = BytesIO()
    >>> Image.new("RGBA", (3, 2), (0, 0, 0, 0)).save(file, "png")
    >>> pixels = decode_image(file.getvalue(), name="clear.png")
    >>> pixels.shape, int(pixels.min())
    ((2, 3, 3), 255)
    """
    try:
        loaded = load_image(source if isinstance(source, bytes) else source.read_bytes(), max_pixels=max_pixels)
        pixels = mode_pixels(loaded.image, samples=loaded.samples, low=loaded.low)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such file; was it moved after it was listed?") from None
    except UnidentifiedImageError:
        raise FileError(f"{name}: not an image in a known format; remove it, or set data.on_error=skip") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise GridcodeError(f"{name}: {too_many_pixels(error, max_pixels)}") from None
    except Exception as error:  # Pillow's decoders let through whatever a damaged file makes them trip over
        raise FileError(
            f"{name}: image damaged or cut short ({_line(error)}); replace it, or set data.on_error=skip"
        ) from None
    return oriented(pixels, loaded.orientation, orientation=orientation)


def too_many_pixels(error: Exception, max_pixels: int | None) -> str:
    """What is wrong with an image over the limit, and what to do.

    >>> too_many_pixels(Image.DecompressionBombError("Image size (3600 pixels) exceeds …"), 1000)
    'too many pixels (3600, and the limit is 1000); shrink the image, or set data.max_pixels=3600'
    """
    seen = re.search(r"\d+", str(error))
    count = seen[0] if seen else "unknown"
    limit = Image.MAX_IMAGE_PIXELS if max_pixels is None else max_pixels
    return f"too many pixels ({count}, and the limit is {limit}); shrink the image, or set data.max_pixels={count}"


@dataclass(frozen=True)
class Loaded:
    """An image file in memory, before its mode is looked at.

    >>> Loaded(Image.new("L", (2, 1)), 1, "L", None).image.size
    (2, 1)
    """

    image: Image.Image
    """Its pixels as they lie in the file."""
    orientation: int
    """By its metadata, 1 … 8."""
    samples: str
    """Pillow's word for how the samples lie in the file, such as ``L;4`` for four bits of grey."""
    low: NDArray[np.uint8] | None
    """Of a PNG of 16 bits per channel with a transparent colour the lower 8, (H, W, 3), which Pillow leaves out."""


def load_image(encoded: bytes, *, formats: tuple[str, ...] = (), max_pixels: int | None = None) -> Loaded:
    """Open and load an image file, whatever its metadata are.

    Args:
        encoded: The file's bytes.
        formats: Pillow's names of the formats to look for; all of raster images by default.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        Image.DecompressionBombError, Image.DecompressionBombWarning: The image is over the limit.
        Exception: Whatever Pillow raises on what is no image, or damaged.
    """
    picture, low = bare(encoded), None
    with _limited(max_pixels):
        with Image.open(BytesIO(picture.encoded), formats=formats or _formats()) as image:
            samples = _samples(image)
            image.load()
        if samples == "RGB;16B" and "transparency" in image.info:
            with Image.open(BytesIO(picture.encoded)) as again:
                again.tile = [(*again.tile[0][:3], "RGB;16L")]  # type: ignore[list-item]  # a plain tuple till Pillow 11
                low = np.asarray(again)
    orientation = orientation_tag(image) if picture.orientation is None else picture.orientation
    return Loaded(image, orientation, samples, low)


def file_orientation(source: bytes | Path) -> int:
    """The orientation that an image file's metadata tell, 1 … 8; 1 where they tell none or it is no image."""
    try:
        picture = bare(source if isinstance(source, bytes) else source.read_bytes())
        if picture.orientation is not None:
            return picture.orientation
        with _limited(None), Image.open(BytesIO(picture.encoded), formats=_formats()) as image:
            return orientation_tag(image)
    except Exception:
        return 1  # whoever reads the pixels says what is wrong with it


def pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels of a Pillow image of any mode.

    Args:
        image: The image, of any of the modes in :mod:`gridcode.data.image`.

    Returns:
        uint8, (H, W, 3) in RGB or (H, W, 1) in grey.

    Raises:
        ValueError: The mode has no agreed range (float pixels) or no conversion (LAB).
        Exception: Whatever Pillow raises where it loads the image only now, and cannot.

    >>> pillow_pixels(Image.new("1", (2, 1), 1)).tolist()
    [[[255], [255]]]
    """
    pixels = mode_pixels(image, samples=_samples(image))
    return oriented(pixels, orientation_tag(image), orientation="exif")


def orientation_tag(image: Image.Image) -> int:
    """A Pillow image's EXIF orientation, 1 … 8; 1 (upright) where it has none that can be read.

    Of a PNG it comes after the pixels: to look for it, Pillow would load them, and an error there would be lost. Of a
    TIFF there is none after the pixels: Pillow turns them.

    >>> orientation_tag(Image.new("L", (1, 1)))
    1
    """
    try:
        tag = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever damaged metadata make Pillow trip over
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def oriented(values: NDArray[Any], tag: int, *, orientation: Literal["exif", "stored"]) -> NDArray[Any]:
    """Pixels the way up that is asked for.

    Args:
        values: (H, W) or (H, W, C).
        tag: The file's EXIF orientation, 1 … 8.
        orientation: 'exif' for upright, 'stored' for the way they lie in the file.

    >>> oriented(np.array([[1, 2]]), 6, orientation="exif").tolist()
    [[1], [2]]
    """
    if tag == 1 or orientation == "stored":
        return values
    if tag >= 5:
        values = values.swapaxes(0, 1)
    rows, columns = (-1 if tag in (3, 4, 7, 8) else 1), (-1 if tag in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(values[::rows, ::columns])


def _samples(image: Image.Image) -> str:
    """Pillow's word for the samples of an opened image; empty once it is loaded."""
    arguments = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


@contextmanager
def _limited(max_pixels: int | None) -> Iterator[None]:
    """Pillow with another limit and without warnings: of oddities it need not tell, of a bomb it should do more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if max_pixels is None:
            yield
            return
        with _limit:  # Pillow has but this one limit for the whole process
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
            try:
                yield
            finally:
                Image.MAX_IMAGE_PIXELS = before


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this build of Pillow can read, the most frequent first."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _line(error: BaseException) -> str:
    """The error's text in one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


STRETCH: Final = {"L;2": 85, "L;4": 17}
"""Pillow spreads the values of 2 and 4 bits over 0 … 255, by these factors."""


def mode_pixels(image: Image.Image, *, samples: str = "", low: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pixels as they lie in the file.

    Args:
        image: Any of the modes in this module's table.
        samples: Pillow's word for how the samples lie in the file, such as ``L;4``; empty where it is not known.
        low: Of 16 bits per channel the lower 8, (H, W, 3), where a colour is transparent.

    Returns:
        uint8, (H, W, 3) in RGB or (H, W, 1) in grey.

    Raises:
        ValueError: The mode has no agreed range (float pixels) or no conversion (LAB).

    >>> mode_pixels(Image.new("1", (2, 1), 1)).tolist()
    [[[255], [255]]]
    """
    if image.mode == "F":
        raise ValueError("float pixels have no agreed range")
    if image.mode in ("1", "L", "I", "RGB") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if image.mode == "1":
            values = values.astype(np.uint8) * np.uint8(255)
        pixels: NDArray[np.uint8] = _from_16_bit(values) if image.mode.startswith("I") else values
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        colour = image.info.get("transparency")
        if isinstance(colour, int | tuple):
            clear = _is_colour(image.mode, values, colour, samples, low)
            pixels = np.where(clear[..., None], np.uint8(255), pixels)
        return pixels
    grey = image.mode in ("LA", "La")
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        image = _over_white(image, grey=grey)
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[..., None] if grey else pixels


def _is_colour(
    mode: str, values: NDArray[Any], colour: int | tuple[int, ...], samples: str, low: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """Where pixels (H, W) or (H, W, 3) are the transparent colour, which is given in the file's own bits."""
    if mode != "RGB":
        stretch = STRETCH.get(samples, 1)
        bits = 0xFFFF if mode.startswith("I") else 255 // stretch
        return np.asarray(values == (np.asarray(colour) & bits) * stretch)
    wanted = np.asarray(colour)
    if low is not None:
        return np.asarray((values.astype(np.int64) * 256 + low == wanted).all(axis=-1))
    return np.asarray((values == (wanted >> 8 if samples == "RGB;16B" else wanted & 255)).all(axis=-1))


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
