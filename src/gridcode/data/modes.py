"""From a Pillow image of any mode to uint8 pixels, grey or RGB.

1, L                      -> (H, W, 1)
I;16, I                   -> (H, W, 1)    16 bits become 8 by v / 257, rounded, so that white stays white
LA                        -> (H, W, 1)    over white
P, CMYK, YCbCr, RGB       -> (H, W, 3)    of 16 bits a channel the upper 8
P with alpha, PA, RGBA    -> (H, W, 3)    over white
one transparent colour    ->              white, where all bits of a pixel are that colour
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STRETCH: Final = {"L;2": 85, "L;4": 17}
"""Pillow spreads the values of 2 and 4 bits over 0 … 255, by these factors."""


def mode_pixels(image: Image.Image, *, samples: str = "", low: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pixels as they lie in the file.

    Args:
        image: Any of the modes in this module's table.
        samples: Pillow's word for how the samples lie in the file, such as ``L;4``; empty where it is not known.
        low: Of 16 bits a channel the lower 8, (H, W, 3), where a colour is transparent.

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
