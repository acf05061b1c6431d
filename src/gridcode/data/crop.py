"""From an image of any size to a square of a given side.

A square region is cut out first and then resized, by repeated halving with a box filter while it is at least
twice too large, and by one bicubic step after that, as in ADM's ``center_crop_arr``. Cutting first keeps the
cost of a 1 x 100,000 banner small, and makes the whole operation exact where the region already has the right
side.

Reference: P. Dhariwal and A. Nichol, Diffusion Models Beat GANs on Image Synthesis (2021), preprocessing of
the published code. Differs from it: there the whole image is resized before the cut, which blends a fraction
of a pixel from outside the square into its border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.config import CropPolicy


def center_crop(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The largest centred square, resized.

    Args:
        image: uint8, (H, W, C), C = 1 or 3.
        size: Side of the result in pixels.

    Returns:
        uint8, (size, size, C); a view of ``image`` where its shorter side is ``size`` already.

    >>> center_crop(np.zeros((4, 7, 3), np.uint8), 2).shape
    (2, 2, 3)
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(image[top : top + side, left : left + side], size)


def train_crop(
    image: NDArray[np.uint8], size: int, *, policy: CropPolicy, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """The crop of a training image: a random or the centred square, perhaps mirrored.

    The side of a random square is uniform over the whole numbers from ``policy.min_scale`` times the image's
    shorter side up to that side; its place is uniform.

    Args:
        image: uint8, (H, W, C), C = 1 or 3.
        size: Side of the result in pixels.
        policy: Which crop, and whether to mirror.
        generator: The only source of chance.

    Returns:
        uint8, (size, size, C), perhaps a view of ``image``.

    >>> image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1)
    >>> train_crop(image, 2, policy=CropPolicy(min_scale=1.0), generator=np.random.default_rng(0)).shape
    (2, 2, 1)
    """
    if policy.train == "center":
        square = center_crop(image, size)
    else:
        height, width = image.shape[:2]
        shorter = min(height, width)
        # The tolerance keeps 0.7 * 10 = 7.000000000000001 from becoming 8.
        smallest = max(1, int(np.ceil(policy.min_scale * shorter - 1e-9)))
        side = int(generator.integers(smallest, shorter + 1))
        top = int(generator.integers(0, height - side + 1))
        left = int(generator.integers(0, width - side + 1))
        square = _resize(image[top : top + side, left : left + side], size)
    return square[:, ::-1] if policy.flip and generator.random() < 0.5 else square


def to_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey to RGB by repetition, RGB to grey by Pillow's luma (ITU-R 601-2).

    Args:
        image: uint8, (H, W, 1) or (H, W, 3).
        channels: 1 or 3.

    Returns:
        uint8, (H, W, channels); a view where that is possible.

    >>> to_channels(np.full((1, 1, 1), 7, np.uint8), 3).tolist()
    [[[7, 7, 7]]]
    """
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def _resize(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A square (S, S, C) to (size, size, C)."""
    side, _, channels = square.shape
    if side == size:
        return square
    image = Image.fromarray(square[..., 0] if channels == 1 else square)
    while side >= 2 * size:
        side //= 2
        image = image.resize((side, side), Image.Resampling.BOX)
    if side != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels
