"""What every source of pictures with label maps offers: a length, keys, and one example by its position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridcode.domains.dense.data.config import Categories

Planes: TypeAlias = NDArray[Any]
"""A label map as it is stored, (n, H, W): the table in :mod:`gridcode.domains.dense.data.config`."""


@dataclass(frozen=True)
class DenseExample:
    """One picture with its label map, before any crop.

    >>> DenseExample(np.zeros((4, 6, 3), np.uint8), np.ones((1, 4, 6), np.float32), "a.png").planes.shape
    (1, 4, 6)
    """

    image: NDArray[np.uint8]
    """uint8, (H, W, 3) in RGB."""
    planes: Planes
    """The label map, (n, H, W) of the same H and W."""
    key: str
    """Name of the picture inside its source; unique, and the same on every run."""


class DenseSource(ABC):
    """An ordered, finite set of pictures with label maps, read one at a time; it pickles.

    >>> class Flat(DenseSource):
    ...     name = "flat"
    ...
    ...     def __len__(self) -> int:
    ...         return 2
    ...
    ...     def key(self, index: int) -> str:
    ...         return str(index)
    ...
    ...     def __getitem__(self, index: int) -> DenseExample:
    ...         return DenseExample(np.zeros((2, 2, 3), np.uint8), np.ones((1, 2, 2), np.float32), self.key(index))
    >>> [example.key for example in Flat()]
    ['0', '1']
    """

    name: str
    """Where the pictures come from, as recorded in manifests."""
    categories: Categories | None = None
    """The classes of a panoptic source; None for depth and colour."""
    notes: tuple[str, ...] = ()
    """What else was understood of the files, a line each."""
    in_memory: bool = False
    """True where reading decodes nothing, so that worker processes would only cost time."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def key(self, index: int) -> str:
        """The key of picture number ``index``, without decoding it."""

    @abstractmethod
    def __getitem__(self, index: int) -> DenseExample:
        """Picture number ``index`` with its label map, 0 <= index < len(self).

        Raises:
            GridcodeError: A file cannot be decoded, or picture and labels do not fit; the message names both.
        """

    def tag(self, index: int) -> int:
        """The EXIF orientation of the picture's file, 1 … 8; 1 (upright) where pictures have none."""
        return 1

    def __iter__(self) -> Iterator[DenseExample]:
        """All examples in order."""
        return (self[index] for index in range(len(self)))


class DensePart(DenseSource):
    """Some examples of a source, in the order given.

    >>> from gridcode.domains.dense.data.scenes import DenseScenes
    >>> whole = DenseScenes("depth", seed=0, start=0, count=5, size=8)
    >>> [example.key for example in DensePart(whole, [4, 0], name="two scenes")]
    ['scene-0-000004', 'scene-0-000000']
    """

    def __init__(self, source: DenseSource, indices: Sequence[int], *, name: str) -> None:
        self.name = name
        self.categories = source.categories
        self.in_memory = source.in_memory
        self.notes = source.notes
        self._source = source
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def key(self, index: int) -> str:
        """The key in the whole source."""
        return self._source.key(self._indices[index])

    def tag(self, index: int) -> int:
        """The EXIF orientation in the whole source."""
        return self._source.tag(self._indices[index])

    def __getitem__(self, index: int) -> DenseExample:
        return self._source[self._indices[index]]
