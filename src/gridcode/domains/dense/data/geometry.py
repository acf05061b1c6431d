"""Crop, resize and mirror an image and its label map together.

A region with the target's aspect ratio is cut out first and then resized. The image is halved with a box filter
while it is at least twice too large and then resized bicubically, as in :mod:`gridcode.data.crop`. Labels are
never blended: a label pixel takes the value at its centre,

    source row of target row i = floor((i + 1/2) S / s),

and a depth that is invalid there takes the nearest valid one inside the pixel's footprint, if there is any: sparse
holes of a sensor do not grow when a map shrinks, and no depth arises between foreground and background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.data.source import Planes


@dataclass(frozen=True)
class Region:
    """Part of an image, in pixels.

    >>> Region(top=1, left=0, height=2, width=3).cut(np.arange(12).reshape(4, 3)).shape
    (2, 3)
    """

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False
    """Whether left and right are exchanged."""

    def cut(self, array: NDArray[Any], *, axis: int = 0) -> NDArray[Any]:
        """The region of an array whose rows are along ``axis`` and whose columns are along the next axis."""
        rows, columns = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        part = array[(slice(None),) * axis + (rows, columns)]
        return np.flip(part, axis + 1) if self.mirrored else part


def center_region(shape: tuple[int, int], target: tuple[int, int]) -> Region:
    """The largest centred region of an image with the target's aspect ratio.

    Args:
        shape: Height and width of the image.
        target: Height and width to resize to later; only the ratio matters.

    >>> center_region((120, 160), (64, 64))
    Region(top=0, left=20, height=120, width=120, mirrored=False)
    """
    height, width = _largest(shape, target)
    return Region((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def train_region(
    shape: tuple[int, int], target: tuple[int, int], *, policy: CropPolicy, generator: np.random.Generator
) -> Region:
    """The region of a training image: random side and place or the centre, perhaps mirrored.

    The scale is uniform in ``policy.min_scale`` … 1 of the largest region that fits; the place is uniform.

    >>> train_region((8, 8), (4, 4), policy=CropPolicy("center", flip=False), generator=np.random.default_rng(0))
    Region(top=0, left=0, height=8, width=8, mirrored=False)
    """
    region = center_region(shape, target)
    if policy.train == "random":
        scale = generator.uniform(policy.min_scale, 1.0)
        height, width = (max(1, round(side * scale)) for side in (region.height, region.width))
        top = int(generator.integers(0, shape[0] - height + 1))
        left = int(generator.integers(0, shape[1] - width + 1))
        region = Region(top, left, height, width)
    mirrored = policy.flip and bool(generator.random() < 0.5)
    return Region(region.top, region.left, region.height, region.width, mirrored)


def resize_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image at another size.

    Args:
        image: uint8, (H, W, 3).
        height: Rows of the result.
        width: Columns of the result.

    >>> resize_image(np.zeros((12, 16, 3), np.uint8), 3, 4).shape
    (3, 4, 3)
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    while rows >= 2 * height and columns >= 2 * width:
        rows, columns = rows // 2, columns // 2
        picture = picture.resize((columns, rows), Image.Resampling.BOX)
    if (rows, columns) != (height, width):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def resize_nearest(planes: Planes, height: int, width: int) -> Planes:
    """Labels at another size, each the one at the target pixel's centre; (n, H, W) to (n, height, width).

    >>> resize_nearest(np.arange(6).reshape(1, 1, 6), 1, 2).tolist()
    [[[1, 4]]]
    """
    if planes.shape[1:] == (height, width):
        return planes
    rows, columns = _centres(planes.shape[1], height), _centres(planes.shape[2], width)
    return planes[:, rows[:, None], columns]


def resize_valid(planes: Planes, height: int, width: int) -> Planes:
    """As :func:`resize_nearest`, but a 0 takes the nearest other value inside the target pixel's footprint.

    >>> resize_valid(np.array([[[0, 0, 7, 5, 0, 0]]]), 1, 2).tolist()
    [[[7, 5]]]
    """
    source = planes.shape[1:]
    if source == (height, width):
        return planes
    reach = [max(0, -(-side // small) // 2) for side, small in zip(source, (height, width), strict=True)]
    rows, columns = _centres(source[0], height), _centres(source[1], width)
    result = planes[:, rows[:, None], columns].copy()
    offsets = [(y, x) for y in range(-reach[0], reach[0] + 1) for x in range(-reach[1], reach[1] + 1)]
    for y, x in sorted(offsets, key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset))[1:]:
        if result.all():
            break
        near_rows, near_columns = rows + y, columns + x
        inside = _inside(near_rows, source[0], height)[:, None] & _inside(near_columns, source[1], width)
        near = planes[:, near_rows.clip(0, source[0] - 1)[:, None], near_columns.clip(0, source[1] - 1)]
        result = np.where((result == 0) & inside, near, result)
    return result


def _largest(shape: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest region of the target's ratio; at least one pixel each way."""
    if shape[0] * target[1] <= shape[1] * target[0]:
        return shape[0], max(1, shape[0] * target[1] // target[0])
    return max(1, shape[1] * target[0] // target[1]), shape[1]


def _centres(source: int, target: int) -> NDArray[np.int64]:
    """floor((i + 1/2) S / s), in whole numbers."""
    return (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)


def _inside(places: NDArray[np.int64], source: int, target: int) -> NDArray[np.bool_]:
    """Whether a source place's centre lies in the footprint of its target pixel: i S <= (p + 1/2) s < (i + 1) S."""
    first = np.arange(target, dtype=np.int64) * source * 2
    middle = (2 * places + 1) * target
    return (first <= middle) & (middle < first + 2 * source)
