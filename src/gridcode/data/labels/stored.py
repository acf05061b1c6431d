"""Pictures with label maps on disk: columns of Parquet files, or folders of files with the same names.

    a.parquet                      columns image and depth (or segmentation), each {bytes, path}
    root/image/ROOM/1.jpg          pictures
    root/depth/ROOM/1.png          depth of the same name, .png or .npy
    root/segmentation/ROOM/1.png   classes, value 0 unlabelled
    root/classes.txt               names of classes 1, 2, …, one a line; without it the highest value counts

A semantic map is a panoptic one in which each class is one segment of stuff.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gridcode.data.crop import to_channels
from gridcode.data.folder import ImageFolder
from gridcode.data.labels.config import Categories, DepthConfig
from gridcode.data.labels.files import read_classes, read_depth, read_values
from gridcode.data.labels.source import DenseExample, DenseSource, Planes
from gridcode.data.parquet import ParquetImages
from gridcode.data.source import StoredImages
from gridcode.errors import GridcodeError

COLUMN: Final[dict[Literal["depth", "panoptic"], str]] = {"depth": "depth", "panoptic": "segmentation"}
"""Name of the column or folder of a task's labels."""


class StoredLabels(DenseSource):
    """Images and a label file each.

    Args:
        images: The pictures.
        task: What the labels are.
        depth: Scale of depth PNGs.
        names: Class names; where there are none, numbers up to the highest value of all maps, which are read once.

    Attributes:
        named: Whether the classes have names, which do not depend on what the maps hold.
    """

    def __init__(
        self,
        images: StoredImages,
        task: Literal["depth", "panoptic"],
        depth: DepthConfig,
        names: tuple[str, ...] = (),
    ) -> None:
        self.name = images.name
        self._images = images
        self._scale = depth.png_scale
        self.named = bool(names)
        if task == "panoptic":
            names = names or self._numbers()
            self.categories = Categories(names, (False,) * len(names))

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """The picture's key among the images."""
        return self._images.key(index)

    def __getitem__(self, index: int) -> DenseExample:
        example = self._images[index]
        source, name = self._label(index)
        planes: Planes = (
            read_depth(source, scale=self._scale, name=name)
            if self.categories is None
            else read_classes(source, count=len(self.categories.names), name=name)
        )
        height, width = example.image.shape[:2]
        if planes.shape[1:] != (height, width):
            raise GridcodeError(
                f"{name}: {planes.shape[2]}x{planes.shape[1]} pixels, but the picture {example.key} has "
                f"{width}x{height}; picture and map must be of one size"
            )
        return DenseExample(to_channels(example.image, 3), planes, example.key)

    @abstractmethod
    def _label(self, index: int) -> tuple[bytes | Path, str]:
        """The label file of a picture, and what to call it."""

    def _numbers(self) -> tuple[str, ...]:
        labels = (self._label(index) for index in range(len(self._images)))
        highest = max(int(read_values(source, name=name).max()) for source, name in labels)
        return tuple(str(number) for number in range(1, max(highest, 1) + 1))


class ParquetLabels(StoredLabels):
    """Rows of Parquet files with a column of pictures and one of label maps.

    Args:
        paths: The files, in order.
        task: 'depth' (column depth) or 'panoptic' (column segmentation).
        depth: Scale of depth PNGs.

    Raises:
        GridcodeError: A file is missing or damaged, or lacks a column.
    """

    def __init__(self, paths: Sequence[Path], task: Literal["depth", "panoptic"], depth: DepthConfig) -> None:
        self._labels = ParquetImages(paths, image_column=COLUMN[task])
        super().__init__(ParquetImages(paths), task, depth)

    def _label(self, index: int) -> tuple[bytes | Path, str]:
        return self._labels.encoded(index), f"{self._labels.where(index)}, label map"


class FolderLabels(StoredLabels):
    """A folder ``image/`` and beside it ``depth/`` or ``segmentation/`` with files of the same names.

    Args:
        root: The folder that holds both.
        task: 'depth' or 'panoptic'.
        depth: Scale of depth PNGs.

    Raises:
        GridcodeError: A folder is missing, or a picture has no label file.
    """

    def __init__(self, root: Path, task: Literal["depth", "panoptic"], depth: DepthConfig) -> None:
        self._root = root
        self._folder = root / COLUMN[task]
        for folder in (root / "image", self._folder):
            if not folder.is_dir():
                raise GridcodeError(
                    f"{folder}: no such folder; a folder of labelled pictures holds image/ and {COLUMN[task]}/ "
                    "with files of the same names"
                )
        images = ImageFolder(root / "image", name=str(root))
        endings = (".png", ".npy") if task == "depth" else (".png",)
        self._files: list[Path] = []
        for index in range(len(images)):
            stem = self._folder / images.key(index)
            found = [path for ending in endings if (path := stem.with_suffix(ending)).is_file()]
            if len(found) != 1:
                seen = "no label file" if not found else "two label files"
                raise GridcodeError(
                    f"{self._folder}: {seen} for {images.key(index)}; give one {' or '.join(endings)} of its name"
                )
            self._files += found
        super().__init__(images, task, depth, _names(root / "classes.txt") if task == "panoptic" else ())

    def _label(self, index: int) -> tuple[bytes | Path, str]:
        return self._files[index], str(self._files[index])


def parquet_columns(path: Path) -> list[str]:
    """Names of a Parquet file's columns.

    Raises:
        GridcodeError: The file cannot be read.
    """
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise GridcodeError(f"{path}: not a readable Parquet file ({error}); download or write it again") from None


def _names(listed: Path) -> tuple[str, ...]:
    """The lines of ``classes.txt``; none where there is no such file."""
    if not listed.is_file():
        return ()
    names = tuple(line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip())
    if not names:
        raise GridcodeError(f"{listed}: no class names; write one a line, class 1 first")
    return names
