"""Predictions of a whole folder on disk, a few images in memory at a time.

depth      depth/NAME.png, 16 bits, value / png_scale metres (relative depth: 60000 is 1), or .npy
panoptic   panoptic_predicted/NAME.png with ids and annotations/panoptic_predicted.json, COCO's layout, with the ids of
           categories and images that the data set's own files have, by which COCO's tool matches predictions
colour     colour/NAME.png
all        overlay/NAME.png: the map's colours over the image; for colour grey and colours side by side
draws      deviation/NAME.png, standard deviation over several draws: depth in depth's units, colours in bytes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gridcode.data.crop import to_channels
from gridcode.data.file_names import file_stem
from gridcode.data.source import Example, ImageSource, StoredImages
from gridcode.domains.dense.data.coco import coco_image_ids, write_coco
from gridcode.domains.dense.data.config import Categories, DenseConfig, DepthConfig
from gridcode.domains.dense.data.files import SATURATED, write_depth
from gridcode.domains.dense.data.source import Planes
from gridcode.domains.dense.domain import dense_domain
from gridcode.domains.dense.predictor import DensePredictor, Fit
from gridcode.domains.dense.show import save_png, write_overlay
from gridcode.errors import GridcodeError
from gridcode.files import make_folder

SPLIT: Final = "predicted"
"""What stands for the split in COCO's layout."""
RELATIVE_SCALE: Final = 60000.0
"""Value of a depth PNG that stands for relative depth 1."""


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
        maps: Key of each image and its map as decoded, (n, H, W); taken one at a time.
        data: The task, and the units of depth.
        categories: The classes of a panoptic task.
        depth_format: 16-bit PNG, or .npy in metres.
        image_ids: Panoptic: ids of the images by their keys; their places where not given.

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
            save_png(folder / f"{file_stem(key)}.png", np.ascontiguousarray(planes.astype(np.uint8).transpose(1, 2, 0)))


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
        stem: The image's file stem.
        deviation: (H, W), of depth or of colours.
        data: The task, and the units of depth.
        depth_format: Of depth: 16-bit PNG, or .npy in metres.
    """
    if data.task == "depth":
        write_depth(folder / f"{stem}.{depth_format}", deviation[None], scale=depth_scale(data.depth))
    else:
        save_png(folder / f"{stem}.png", deviation.round().astype(np.uint8))  # of bytes it is below 128


@dataclass(frozen=True)
class PredictOptions:
    """How predictions are made and written.

    Attributes:
        out: The folder.
        fit: How an image of another shape is shown to the model.
        depth_format: 16-bit PNG, or .npy.
        batch_size: Images at a time.
        images: The folder of the images, if they have one: beside it COCO's files, if any, tell the images' ids.
    """

    out: Path
    fit: Fit = "whole"
    depth_format: Literal["png", "npy"] = "png"
    batch_size: int = 16
    images: Path | None = None

    def __post_init__(self) -> None:
        """Refuse batches of nothing."""
        if self.batch_size < 1:
            raise GridcodeError(f"batch_size must be at least 1, got {self.batch_size}")


def predict_source(
    predictor: DensePredictor,
    source: ImageSource | Sequence[Example],
    options: PredictOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the label map and the overlay of every image.

    Args:
        predictor: Both stages.
        source: Images of any sizes.
        options: Where and how.
        progress: Called with (images done, images in all).

    Returns:
        The number of images.

    Raises:
        GridcodeError: An image cannot be read, two would be written under one name, or depth does not fit a PNG.
    """
    tokenizer = predictor.tokenizer
    _check_range(dense_domain(tokenizer).data, options)
    keys = _checked_keys(source)
    ids = coco_image_ids(options.images, keys) if dense_domain(tokenizer).data.task == "panoptic" else None
    maps = _predicted(predictor, source, options, progress)
    write_maps(
        options.out,
        maps,
        dense_domain(tokenizer).data,
        dense_domain(tokenizer).categories,
        depth_format=options.depth_format,
        image_ids=ids,
    )
    return len(source)


def _predicted(
    predictor: DensePredictor,
    source: ImageSource | Sequence[Example],
    options: PredictOptions,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[str, Planes]]:
    """Key and map of each image; overlay and deviation are written on the way."""
    for start in range(0, len(source), options.batch_size):
        examples = [source[position] for position in range(start, min(start + options.batch_size, len(source)))]
        images = [to_channels(example.image, 3) for example in examples]
        predictions = predictor.predict_images(images, fit=options.fit, first=start)
        for example, image, found in zip(examples, images, predictions, strict=True):
            stem = file_stem(example.key)
            seen = predictor.seen_part(image, options.fit)
            write_overlay(
                options.out / "overlay" / f"{stem}.png", seen, found.planes, dense_domain(predictor.tokenizer).label_map
            )
            if found.deviation is not None:
                data, where = dense_domain(predictor.tokenizer).data, options.out / "deviation"
                write_deviation(where, stem, found.deviation, data, depth_format=options.depth_format)
            yield example.key, found.planes
        if progress is not None:
            progress(start + len(examples), len(source))


def _check_range(data: DenseConfig, options: PredictOptions) -> None:
    """Refuse a 16-bit PNG for depths that it cannot hold, before any is predicted."""
    far, scale = data.depth.high, depth_scale(data.depth)
    if data.task == "depth" and options.depth_format == "png" and far * scale >= SATURATED:
        raise GridcodeError(
            f"depth up to {far:g} m times {scale:g} does not fit a 16-bit PNG; set depth_format=npy, or train with "
            "a smaller data.depth.png_scale"
        )


def _checked_keys(source: ImageSource | Sequence[Example]) -> list[str]:
    """The images' keys; two that would be written as one are refused before any is."""
    keys: dict[str, str] = {}
    for position in range(len(source)):
        key = source.key(position) if isinstance(source, StoredImages) else source[position].key
        stem = file_stem(key)
        if stem in keys:
            raise GridcodeError(f"the images {keys[stem]} and {key} would both be written as {stem}; rename one")
        keys[stem] = key
    return list(keys.values())
