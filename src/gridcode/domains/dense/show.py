"""Label maps as images to look at: maps over their images, strips of a run's progress, and where a map is wrong.

In an image of errors black is right and grey does not count:

depth      |d - g| / g, from black over red and yellow to white at a factor of 2 (relative depth: after the
           alignment of each image that its metric takes)
panoptic   the class is wrong: red; the class is right and the segment is not matched (IoU <= 1/2): yellow
colour     mean |a - b| of red, green and blue; white at a quarter of the range
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.loader import DenseBatch
from gridcode.domains.dense.data.source import LabelMap, Planes
from gridcode.files import write_atomic

GREY: Final = 128
BLEND: Final = 0.6
"""Share of the map's colours in an overlay."""
_HEAT: Final = np.array([[0, 0, 0], [170, 20, 30], [250, 170, 40], [255, 255, 255]], np.float64)
_WRONG: Final = np.array([220, 40, 50], np.uint8)
_UNMATCHED: Final = np.array([240, 200, 60], np.uint8)


def error_map(predicted: Planes, truth: Planes, data: DenseConfig) -> NDArray[np.uint8]:
    """An image of what is wrong.

    Args:
        predicted: A decoded map, (n, H, W).
        truth: The stored map, (n, H, W) or with a further plane of crowds.
        data: The task, and the range of depth.

    Returns:
        uint8, (H, W, 3).

    >>> data = DenseConfig(task="colour")
    >>> error_map(np.zeros((3, 1, 1), np.uint8), np.full((3, 1, 1), 255, np.uint8), data).tolist()
    [[[255, 255, 255]]]
    """
    if data.task == "colour":
        difference = np.abs(predicted.astype(np.float64) - truth.astype(np.float64)).mean(axis=0)
        return _heat(difference / 64)
    if data.task == "panoptic":
        return _segments(predicted, truth)
    return _depth(predicted[0].astype(np.float64), truth[0].astype(np.float64), data)


def write_overlay(path: Path, image: NDArray[np.uint8], planes: Planes, label_map: LabelMap) -> None:
    """Write an image with its map's colours over it.

    Args:
        path: The PNG file; its folder is made.
        image: The image, uint8 (H, W, 3).
        planes: Its map, (n, H, W).
        label_map: What makes an image of the map.
    """
    save_png(path, overlay(image, planes, label_map))


def overlay(image: NDArray[np.uint8], planes: Planes, label_map: LabelMap) -> NDArray[np.uint8]:
    """A map's colours over its image, uint8 (H, W, 3); what the model saw beside its colours, (H, 2 W, 3).

    >>> from gridcode.domains.dense.data.colour import ColourMap
    >>> overlay(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8), ColourMap()).shape
    (2, 6, 3)
    """
    colours = label_map.image(planes)
    if label_map.context_channels == 1:
        seen = np.broadcast_to(label_map.context(image), image.shape)
        return np.concatenate([seen, colours], axis=1)
    mixed = BLEND * colours + (1 - BLEND) * image
    return np.asarray(mixed.round(), np.uint8)


def save_strip(path: Path, batch: DenseBatch, decoded: Tensor, label_map: LabelMap) -> None:
    """Write a PNG: images as the model sees them, true maps below, decoded maps below those.

    Args:
        path: The file.
        batch: Images and truth.
        decoded: Their maps as decoded, (B, n, H, W).
        label_map: What makes an image of a map.
    """
    seen = ((batch.images.expand(-1, 3, -1, -1) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    truth = [label_map.image(planes) for planes in batch.planes.numpy()]
    found = [label_map.image(planes) for planes in decoded.cpu().numpy()]
    rows = [np.concatenate(list(row), axis=1) for row in (seen.cpu().numpy(), truth, found)]
    save_png(path, np.ascontiguousarray(np.concatenate(rows, axis=0)))


def _depth(d: NDArray[np.float64], g: NDArray[np.float64], data: DenseConfig) -> NDArray[np.uint8]:
    counts = g > 0
    if data.depth.relative == "none":
        counts &= (g > data.depth.near) & (g < data.depth.far)
    elif data.depth.relative == "scale" and counts.any():
        d = d * (d * g)[counts].sum() / max(float(np.square(d[counts]).sum()), 1e-12)
    elif counts.any():
        apart, centre = d - d[counts].mean(), g[counts].mean()
        d = centre + apart * (apart * (g - centre))[counts].sum() / max(float(np.square(apart[counts]).sum()), 1e-12)
    image = _heat(np.abs(d - g) / np.where(counts, g, 1.0))
    image[~counts] = GREY
    return image


def _segments(predicted: Planes, truth: Planes) -> NDArray[np.uint8]:
    """Classes and matches by the definition of panoptic quality, without its exceptions for crowds."""
    wide = 1 + int(max(predicted[1].max(initial=0), truth[1].max(initial=0)))
    mine = predicted[0].astype(np.int64) * wide + predicted[1]
    theirs = truth[0].astype(np.int64) * wide + truth[1]
    numbers, place, areas = np.unique(theirs, return_inverse=True, return_counts=True)
    others, other_place, other_areas = np.unique(mine, return_inverse=True, return_counts=True)
    place, other_place = place.reshape(-1), other_place.reshape(-1)
    joint = np.bincount(place * len(others) + other_place, minlength=len(numbers) * len(others))
    intersection = joint[place * len(others) + other_place].reshape(theirs.shape)
    union = (areas[place] + other_areas[other_place]).reshape(theirs.shape) - intersection
    image = np.zeros((*theirs.shape, 3), np.uint8)
    image[2 * intersection <= union] = _UNMATCHED
    image[predicted[0] != truth[0]] = _WRONG
    image[truth[0] == 0] = GREY
    return image


def _heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Black at 0 to white at 1 and beyond."""
    place = np.clip(share, 0.0, 1.0) * (len(_HEAT) - 1)
    left = np.minimum(place.astype(np.int64), len(_HEAT) - 2)
    blend = (place - left)[..., None]
    colours: NDArray[np.uint8] = (_HEAT[left] * (1 - blend) + _HEAT[left + 1] * blend).round().astype(np.uint8)
    return colours


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image, uint8 (H, W) or (H, W, 3), as PNG."""
    image = Image.fromarray(pixels)
    write_atomic(path, lambda temporary: image.save(temporary, format="PNG"))
