"""Tensors to images: 8 bits, crisp magnification, contact sheets, PNG files and data URIs."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.errors import GridcodeError
from gridcode.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

ImageArray = NDArray[np.uint8]
"""uint8, (n, H, W, 3) in RGB or (n, H, W, 1) in grey."""

_SMALL = 96


def to_uint8(images: Tensor) -> ImageArray:
    """Images as a screen shows them.

    Args:
        images: in [-1, 1], (B, C, H, W); values beyond are clipped.

    Returns:
        uint8, (B, H, W, C), rounded to nearest.

    >>> import torch
    >>> to_uint8(torch.tensor([-1.0, 0.0, 3.0]).reshape(1, 1, 1, 3)).flatten().tolist()
    [0, 128, 255]
    """
    scaled = ((images.detach().float() + 1) * 127.5).clamp(0, 255).round()
    pictures: ImageArray = scaled.cpu().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return pictures


def magnification(side: int) -> int:
    """The whole factor that brings a small image to a comfortable size; 1 from 96 pixels on.

    >>> [magnification(side) for side in (28, 32, 64, 128)]
    [4, 3, 2, 1]
    """
    return max(1, math.ceil(_SMALL / side))


def contact_sheet(images: ImageArray, *, columns: int, gap: int = 4, background: int = 255) -> ImageArray:
    """Images side by side on one sheet, small ones magnified without blur.

    Args:
        images: uint8, (n, H, W, C), at least one.
        columns: Images in a row; the last row is filled up with background.
        gap: Pixels between and around the images.
        background: Grey level of the gaps, 0 to 255.

    Returns:
        One image, uint8, (H', W', C).

    >>> contact_sheet(np.zeros((5, 96, 96, 3), np.uint8), columns=3, gap=4).shape
    (204, 304, 3)
    """
    check_image_array(images, what="contact sheet")
    if columns < 1:
        raise GridcodeError(f"contact sheet: columns must be at least 1, got {columns}")
    factor = magnification(images.shape[2])
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, channels = large.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, background, np.uint8)
    for number, image in enumerate(large):
        top = gap + number // columns * (height + gap)
        left = gap + number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def png_bytes(image: ImageArray) -> bytes:
    """One image, uint8 (H, W, 3) or (H, W, 1), as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(image: ImageArray, path: Path) -> None:
    """Write one image, uint8 (H, W, 3) or (H, W, 1), as a PNG file, atomically.

    >>> import tempfile
    >>> save_png(np.zeros((2, 2, 3), np.uint8), Path(tempfile.mkdtemp()) / "black.png")
    """
    write_atomic(path, lambda temporary: temporary.write_bytes(png_bytes(image)))


def data_uri(image: ImageArray) -> str:
    """One image, uint8 (H, W, C), as an address that holds the whole PNG.

    >>> data_uri(np.zeros((1, 1, 3), np.uint8))[:22]
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


def check_image_array(images: ImageArray, *, what: str) -> None:
    """Refuse anything but uint8 of shape (n, H, W, 1 or 3) with n >= 1."""
    shaped = images.ndim == 4 and images.shape[-1] in (1, 3) and images.size > 0
    if images.dtype != np.uint8 or not shaped:
        raise GridcodeError(
            f"{what}: needs uint8 images (n, H, W, 1 or 3) with n >= 1, got {images.dtype} "
            f"{images.shape}; turn tensors into images with to_uint8"
        )
