"""What every source of images offers: a length, and one labelled image by its position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridcode.data.image import decode_image
from gridcode.data.places import Places


@dataclass(frozen=True)
class Example:
    """One image as a source holds it, before any crop.

    >>> Example(image=np.zeros((4, 6, 3), np.uint8), label=None, key="a.png").image.shape
    (4, 6, 3)
    """

    image: NDArray[np.uint8]
    """uint8, (H, W, 3) in RGB or (H, W, 1) in grey."""
    label: int | None
    """Position in the source's ``classes``, or None where the image has no label."""
    key: str
    """Name of the image inside its source; unique, and the same on every run."""


class ImageSource(ABC):
    """An ordered, finite set of images, read one at a time.

    A source may be sent to worker processes, so it must pickle, and it holds no open handle that a fork would
    share.

    >>> class Grey(ImageSource):
    ...     name = "grey"
    ...
    ...     def __len__(self) -> int:
    ...         return 3
    ...
    ...     def __getitem__(self, index: int) -> Example:
    ...         return Example(np.full((2, 2, 1), 128, np.uint8), None, str(index))
    >>> [example.key for example in Grey()]
    ['0', '1', '2']
    """

    name: str
    """Where the images come from, as recorded in manifests."""
    classes: tuple[str, ...] = ()
    """Class names in label order; empty where the images have no labels."""
    notes: tuple[str, ...] = ()
    """What else was understood of the files, a line each."""
    in_memory: bool = False
    """True where reading decodes nothing, so that worker processes would only cost time."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def __getitem__(self, index: int) -> Example:
        """Image number ``index``, 0 <= index < len(self).

        Raises:
            GridcodeError: The image cannot be decoded; the message names the path and the row.
        """

    def __iter__(self) -> Iterator[Example]:
        """All images in order."""
        return (self[index] for index in range(len(self)))


class StoredImages(ImageSource):
    """A source on disk: its keys are known without decoding, so that a part can be held out by key."""

    @abstractmethod
    def key(self, index: int) -> str:
        """The key of image number ``index``: what ``self[index].key`` would be."""

    @property
    def places(self) -> Places:
        """Where the files lie, behind links; nothing where that is not known."""
        return Places()


class EncodedImages(StoredImages):
    """Images in files of their own or in cells: the encoded file is at hand, for readers that need more than pixels."""

    max_pixels: int | None = None
    """An image of more is refused; None for Pillow's own limit."""

    @abstractmethod
    def encoded(self, index: int) -> bytes | Path:
        """The file of image number ``index``, or its bytes.

        Raises:
            GridcodeError: There is none.
        """

    @abstractmethod
    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its path, and its row if it has one."""

    def decoded(self, index: int, *, orientation: Literal["exif", "stored"] = "exif") -> NDArray[np.uint8]:
        """The pixels of image number ``index``, as :func:`gridcode.data.image.decode_image` gives them.

        Raises:
            GridcodeError: It cannot be decoded, or has more pixels than ``max_pixels``.
        """
        encoded, where = self.encoded(index), self.where(index)
        return decode_image(encoded, name=where, orientation=orientation, max_pixels=self.max_pixels)
