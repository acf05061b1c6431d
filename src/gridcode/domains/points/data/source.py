"""Sources of clouds: built-in solids, files in a folder with or without a subfolder a class, patches of depth maps.

solids                                          five classes, endless points of known surfaces
chairs/1.npy, chairs/2.ply, tables/1.npz        classes 'chairs', 'tables', by the first subfolder
train/chairs/1.ply, test/chairs/9.ply           the split by the folder's name
room/train.parquet, room/test.parquet           column 'depth' {bytes, path}: patches of depth maps, without classes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridcode.data.labelled.source import Labelled, LabelledFiles, LabelledSource, open_all, open_split, read_part
from gridcode.data.scenes.shapes import SHAPES
from gridcode.domains.points.config import SOLIDS, PointsConfig
from gridcode.domains.points.data.decode import SUFFIXES, read_points
from gridcode.domains.points.data.solids import Solid, draw_solid

Points: TypeAlias = NDArray[np.float32]
"""(N, 3)."""


class Shape(ABC):
    """What points come from."""

    @abstractmethod
    def points(self, count: int, generator: np.random.Generator) -> Points:
        """Points of it, (n, 3): ``count`` of a surface, else all there are.

        Raises:
            GridcodeError: It cannot be read.
        """


@dataclass(frozen=True)
class Surface(Shape):
    """A solid's: as many points as one wants, new ones each time.

    Attributes:
        solid: The solid.
    """

    solid: Solid

    def points(self, count: int, generator: np.random.Generator) -> Points:
        """See :class:`Shape`."""
        return self.solid.sample(count, generator)


@dataclass(frozen=True)
class CloudFile(Shape):
    """A file's.

    Attributes:
        path: The file.
    """

    path: Path

    def points(self, count: int, generator: np.random.Generator) -> Points:
        """See :class:`Shape`."""
        return read_points(self.path)


@dataclass(frozen=True)
class Cloud(Labelled):
    """One cloud of a source, not read yet.

    Attributes:
        shape: What its points come from.
    """

    shape: Shape


CloudSource: TypeAlias = LabelledSource[Cloud]
"""An ordered, finite set of clouds."""


class Solids(LabelledSource[Cloud]):
    """Solids of a seed, numbers ``start`` to ``start + count - 1``.

    >>> Solids(PointsConfig(), start=0, count=10)[7].label
    2
    """

    classes = SHAPES
    name = SOLIDS

    def __init__(self, config: PointsConfig, *, start: int, count: int) -> None:
        self._config, self._start, self._count = config, start, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Cloud:
        config, number = self._config, self._start + index
        solid = draw_solid(config.seed, number, rotation=config.rotation, scale=config.scale)
        return Cloud(Surface(solid), label=solid.shape, key=self.key(index))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return f"{SHAPES[(self._start + index) % len(SHAPES)]}-{self._start + index}"


class CloudFiles(LabelledFiles[Cloud]):
    """Clouds in files that are named one by one."""

    def example(self, path: Path, label: int | None, key: str) -> Cloud:
        """See :class:`LabelledFiles`."""
        return Cloud(CloudFile(path), label=label, key=key)


def open_clouds(config: PointsConfig, split: Literal["train", "val"]) -> CloudSource:
    """The training or the validation clouds that a config names; those of 'val' are labelled by the classes of 'train'.

    Raises:
        GridcodeError: The source is missing, of no known kind, or cannot be split.
    """
    if config.source != SOLIDS:
        return open_split(config, split, partial(_part, config), nouns="clouds")
    if split == "train":
        return Solids(config, start=0, count=config.train_count)
    return Solids(config, start=config.train_count, count=config.val_count)


def open_input(config: PointsConfig) -> CloudSource:
    """The clouds to use: those of validation where the source has a split of its own, else all.

    Raises:
        GridcodeError: The source is missing or of no known kind.
    """
    if config.source == SOLIDS:
        return open_clouds(config, "val")
    return open_all(config.source, partial(_part, config), nouns="clouds")


def _part(config: PointsConfig, place: str, part: tuple[Path, ...]) -> CloudSource:
    """The clouds of one split, or everything at ``place`` where it has no splits."""

    def table(shards: list[Path]) -> CloudSource:
        from gridcode.domains.points.data.depth import DepthPatches

        return DepthPatches(shards, config, name=place)

    return read_part(place, part, nouns="clouds", suffixes=SUFFIXES, table=table, files=CloudFiles)
