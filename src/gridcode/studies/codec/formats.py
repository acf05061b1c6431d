"""Images through the formats that people use, at any quality, by Pillow and its plugins.

Each is set as someone would who wants small files and can wait: optimised and progressive JPEG with 4:2:0 colours,
WebP's slowest method, AVIF at speed 4, JPEG XL at effort 7.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from gridcode.errors import GridcodeError
from gridcode.studies.codec.config import QUALITIES, FormatName

Pixels = NDArray[np.uint8]

NAMES: Final[Mapping[FormatName, str]] = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "jxl": "JPEG XL"}

_SETTINGS: Final[Mapping[FormatName, Mapping[str, Any]]] = {
    "jpeg": {"optimize": True, "progressive": True, "subsampling": "4:2:0"},
    "webp": {"method": 6},
    "avif": {"speed": 4},
    "jxl": {"effort": 7},
}


def check_format(name: FormatName) -> None:
    """Refuse a format that this Pillow cannot write.

    Raises:
        GridcodeError: It cannot.
    """
    if name == "jxl":
        try:
            import pillow_jxl  # noqa: F401  (registers itself with Pillow)
        except ImportError:
            raise GridcodeError(
                "the format jxl needs a package: pip install pillow-jxl-plugin, or leave jxl out of formats"
            ) from None
    elif name != "jpeg" and not features.check(name):
        raise GridcodeError(f"this Pillow cannot write {NAMES[name]}; leave {name} out of formats")


def encoded(image: Pixels, name: FormatName, quality: int, *, factor: int = 1) -> bytes:
    """An image as a file of a format.

    Args:
        image: uint8, (H, W, 3) or (H, W, 1).
        name: The format.
        quality: As the format counts it, 0 to 100.
        factor: By which its sides are made smaller first, by Lanczos's filter; what is left over makes a pixel more.
    """
    check_format(name)
    file = io.BytesIO()
    opened = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
    if factor > 1:
        opened = opened.resize((-(-opened.width // factor), -(-opened.height // factor)), Image.Resampling.LANCZOS)
    opened.save(file, name, quality=quality, **_SETTINGS[name])
    return file.getvalue()


def decoded(data: bytes, like: Pixels) -> Pixels:
    """The image in a file, in grey or in colours like another, and of its size; it is enlarged bicubically."""
    height, width, channels = like.shape
    with Image.open(io.BytesIO(data)) as image:
        found = image.convert("RGB" if channels == 3 else "L")
    if found.size != (width, height):
        found = found.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(found)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def encoded_within(image: Pixels, name: FormatName, size: int, *, factors: Sequence[int] = (1,)) -> bytes:
    """The best file of a format that has so many bytes at most; its smallest one where none has.

    Quality is searched by halving between the lowest that the format has and 100, at the first factor that has a file
    so small.

    Args:
        image: uint8, (H, W, 3) or (H, W, 1).
        name: The format.
        size: Bytes.
        factors: By which its sides may be made smaller, rising.
    """
    low, high = min(QUALITIES[name]), 100
    for factor in factors:
        best = encoded(image, name, low, factor=factor)
        if len(best) <= size:
            break
    else:
        return best
    while high - low > 1:
        middle = (low + high) // 2
        found = encoded(image, name, middle, factor=factor)
        if len(found) <= size:
            low, best = middle, found
        else:
            high = middle
    return best
