"""Predicted label maps on disk: what a picture's map is called, how it is written, and a picture to look at it.

depth      depth/NAME.png, 16 bits, value / png_scale metres (relative depth: 60000 is 1), or .npy
panoptic   panoptic_predicted/NAME.png with ids and annotations/panoptic_predicted.json, COCO's layout, with the ids of
           categories and pictures that the data set's own files have, by which COCO's tool matches predictions
colour     colour/NAME.png
all        overlay/NAME.png: the map's colours over the picture; for colour grey and colours side by side
draws      deviation/NAME.png, standard deviation over several draws: depth in depth's units, colours in bytes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.file_names import file_stem
from gridcode.domains.dense.data.coco import write_coco
from gridcode.domains.dense.data.config import Categories, DenseConfig, DepthConfig
from gridcode.domains.dense.data.files import write_depth
from gridcode.domains.dense.data.source import LabelMap, Planes
from gridcode.files import make_folder, write_atomic

SPLIT: Final = "predicted"
"""What stands for the split in COCO's layout."""
RELATIVE_SCALE: Final = 60000.0
"""Value of a depth PNG that stands for relative depth 1."""
BLEND: Final = 0.6
"""Share of the map's colours in an overlay."""


def depth_scale(depth: DepthConfig) -> float:
    """The value of a written depth PNG that stands for 1 (metre, or the relative unit).

    >>> depth_scale(DepthConfig()), depth_scale(DepthConfig(relative="scale"))
    (1000.0, 60000.0)
    """
    return depth.png_scale if depth.relative == "none" else RELATIVE_SCALE


def write_maps(
    out: Path,
    maps: Iterable[tuple[str, Planes]],
    data: DenseConfig,
    categories: Categories | None,
    *,
    depth_format: Literal["png", "npy"] = "png",
    image_ids: Mapping[str, int] | None = None,
) -> None:
    """Write decoded label maps as the task's files.

    Args:
        out: The folder.
        maps: Key of each picture and its map as decoded, (n, H, W); taken one at a time.
        data: The task, and the units of depth.
        categories: The classes of a panoptic task.
        depth_format: 16-bit PNG, or .npy in metres.
        image_ids: Panoptic: ids of the pictures by their keys; their places where not given.

    Raises:
        GridcodeError: A depth does not fit 16 bits, or a file cannot be written.
    """
    if data.task == "panoptic":
        assert categories is not None
        write_coco(out, SPLIT, maps, categories, stem=file_stem, image_ids=image_ids)
        return
    folder = make_folder(out / data.task)
    for key, planes in maps:
        if data.task == "depth":
            write_depth(folder / f"{file_stem(key)}.{depth_format}", planes, scale=depth_scale(data.depth))
        else:
            _save(folder / f"{file_stem(key)}.png", np.ascontiguousarray(planes.astype(np.uint8).transpose(1, 2, 0)))


def write_deviation(
    folder: Path,
    stem: str,
    deviation: NDArray[np.float32],
    data: DenseConfig,
    *,
    depth_format: Literal["png", "npy"] = "png",
) -> None:
    """Write a map of standard deviations in its task's units.

    Args:
        folder: Where it goes; it is made.
        stem: The picture's file stem.
        deviation: (H, W), of depth or of colours.
        data: The task, and the units of depth.
        depth_format: Of depth: 16-bit PNG, or .npy in metres.
    """
    if data.task == "depth":
        write_depth(folder / f"{stem}.{depth_format}", deviation[None], scale=depth_scale(data.depth))
    else:
        _save(folder / f"{stem}.png", deviation.round().astype(np.uint8))  # of bytes it is below 128


def write_overlay(path: Path, image: NDArray[np.uint8], planes: Planes, label_map: LabelMap) -> None:
    """Write a picture with its map's colours over it.

    Args:
        path: The PNG file; its folder is made.
        image: The picture, uint8 (H, W, 3).
        planes: Its map, (n, H, W).
        label_map: What makes a picture of the map.
    """
    _save(path, overlay(image, planes, label_map))


def overlay(image: NDArray[np.uint8], planes: Planes, label_map: LabelMap) -> NDArray[np.uint8]:
    """A map's colours over its picture, uint8 (H, W, 3); what the model saw beside its colours, (H, 2 W, 3).

    >>> from gridcode.domains.dense.data.colour import ColourMap
    >>> overlay(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8), ColourMap()).shape
    (2, 6, 3)
    """
    colours = label_map.picture(planes)
    if label_map.context_channels == 1:
        seen = np.broadcast_to(label_map.context(image), image.shape)
        return np.concatenate([seen, colours], axis=1)
    mixed = BLEND * colours + (1 - BLEND) * image
    return np.asarray(mixed.round(), np.uint8)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(pixels)
    write_atomic(path, lambda part: picture.save(part, format="PNG"))
