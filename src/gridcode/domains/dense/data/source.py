"""What every source of images with label maps offers; what the three kinds of label map share; which way up they are.

A :class:`DenseSource` has a length, keys, and one example by its position. A :class:`LabelMap` takes stored planes to a
model's labels and back, and draws an image of them. :class:`LabelledImages` reads images the way up that their
label maps are:

    data.orientation   image                              label map
    exif               turned by its EXIF orientation     turned by its own, if it has one
    stored             as it lies in the file             as it lies in the file

Tools differ: browsers, most annotators and detectron2 turn the image, COCO's own tools and plain Pillow do not. Of an
image that lies on its side the sizes tell which was meant, and an error names the other setting. Of a square,
mirrored or upside-down one nothing tells; that is said once.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gridcode.data.crop import to_channels
from gridcode.data.image import decode_image, file_orientation
from gridcode.data.source import EncodedImages, Example, Part, Source, StoredImages
from gridcode.domains.dense.data.config import Categories, Orientation
from gridcode.errors import GridcodeError
from gridcode.quantize.radix import values_visible

Planes: TypeAlias = NDArray[Any]
"""A label map as it is stored, (n, H, W): the table in :mod:`gridcode.domains.dense.data.config`."""


@dataclass(frozen=True)
class DenseExample:
    """One image with its label map, before any crop.

    >>> DenseExample(np.zeros((4, 6, 3), np.uint8), np.ones((1, 4, 6), np.float32), "a.png").planes.shape
    (1, 4, 6)
    """

    image: NDArray[np.uint8]
    """uint8, (H, W, 3) in RGB."""
    planes: Planes
    """The label map, (n, H, W) of the same H and W."""
    key: str
    """Name of the image inside its source; unique, and the same on every run."""


class DenseSource(Source[DenseExample]):
    """An ordered, finite set of images with label maps, read one at a time; it pickles.

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

    categories: Categories | None = None
    """The classes of a panoptic source; None for depth and colour."""

    @abstractmethod
    def key(self, index: int) -> str:
        """The key of image number ``index``, without decoding it."""

    def tag(self, index: int) -> int:
        """The EXIF orientation of the image's file, 1 … 8; 1 (upright) where images have none."""
        return 1


class DensePart(Part[DenseExample], DenseSource):
    """Some examples of a source, in the order given.

    >>> from gridcode.domains.dense.data.scenes import DenseScenes
    >>> whole = DenseScenes("depth", seed=0, start=0, count=5, size=8)
    >>> [example.key for example in DensePart(whole, [4, 0], name="two scenes")]
    ['scene-0-000004', 'scene-0-000000']
    """

    def __init__(self, source: DenseSource, indices: Sequence[int], *, name: str) -> None:
        super().__init__(source, indices, name=name)
        self.categories = source.categories
        self._whole = source

    def key(self, index: int) -> str:
        """The key in the whole source."""
        return self._whole.key(self._indices[index])

    def tag(self, index: int) -> int:
        """The EXIF orientation in the whole source."""
        return self._whole.tag(self._indices[index])


class LabelMap(ABC):
    """One kind of label map; finals are :class:`DepthMap`, :class:`PanopticMap` and :class:`ColourMap`.

    ASCII data flow, with the model in the middle::

        planes (n, H, W) ── encode ──> labels (c, H, W) ── model ──> outputs ── decode ──> planes (B, n', H, W)
    """

    groups: tuple[int, ...]
    """Number K of values in each channel of the labels; () where the labels are RGB values."""
    masked: int | None
    """Label that no loss counts (depth's invalid bin), or None where all count."""
    context_channels: int
    """Channels of the image that the model sees: 3, or 1 for colour."""
    averages: bool = True
    """Whether maps of this kind have a mean; segments have none."""

    @abstractmethod
    def encode(self, planes: Planes) -> Planes:
        """A model's labels.

        Args:
            planes: A stored map, (n, H, W).

        Returns:
            int64 in [0, K), (len(groups), H, W); for colour float32 RGB in [-1, 1], (3, H, W).
        """

    def check_labels(self, labels: Tensor) -> None:
        """Refuse what :meth:`encode` does not give.

        Args:
            labels: A batch (B, c, H, W); the values of traced code are not looked at.

        Raises:
            GridcodeError: The type does not fit, or a label is out of range.
        """
        if labels.is_floating_point() == bool(self.groups):
            kind = "integers" if self.groups else "floats"
            raise GridcodeError(f"the label tokenizer takes labels of {kind}, got {labels.dtype}; give the labels")
        if not self.groups or not values_visible(labels):
            return
        for channel, (values, K) in enumerate(zip(labels.unbind(1), self.groups, strict=True)):
            if values.numel() and (int(values.min()) < 0 or int(values.max()) >= K):
                raise GridcodeError(
                    f"labels of channel {channel} reach from {int(values.min())} to {int(values.max())}, this label "
                    f"tokenizer takes 0 to {K - 1}; encode them with the same settings of bins, classes or instances"
                )

    @abstractmethod
    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Planes from a model's outputs.

        Args:
            outputs: For each group logits (B, K, H, W); for colour one tensor of RGB in [-1, 1], (B, 3, H, W).

        Returns:
            (B, n, H, W): float32 depth (n = 1), int64 class and instance (n = 2), uint8 RGB (n = 3).
        """

    @abstractmethod
    def mean(self, maps: Sequence[Tensor]) -> Tensor:
        """The mean of decoded maps (B, n, H, W), of their type: of all predictions the least squared error on average.

        Raises:
            GridcodeError: This kind has no mean.
        """

    @abstractmethod
    def resize(self, planes: Planes, height: int, width: int) -> Planes:
        """A map at another size, by this kind's rule; (n, height, width)."""

    @abstractmethod
    def context(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the model sees of an image (H, W, 3): uint8, (H, W, context_channels)."""

    @abstractmethod
    def image(self, planes: Planes) -> NDArray[np.uint8]:
        """A colour image of a map, stored or decoded: uint8, (H, W, 3)."""


_LOG = logging.getLogger(__name__)


class LabelledImages:
    """Reads the images of label maps and checks that both are of one size.

    Args:
        where: The source's name, for what is said.
        orientation: Which way up.
        max_pixels: An image of more is refused; None for Pillow's own limit.
    """

    def __init__(self, where: str, orientation: Orientation, max_pixels: int | None = None) -> None:
        self.orientation = orientation
        self.max_pixels = max_pixels
        self._where = where
        self._told = False

    def read(
        self, source: bytes | Path, *, name: str, key: str, shape: tuple[int, int], labels: str
    ) -> NDArray[np.uint8]:
        """The image in RGB, (H, W, 3).

        Args:
            source: The file's bytes, or its path.
            name: What to call it in an error of decoding.
            key: The image's key.
            shape: Height and width of its label map.
            labels: What to call the label map.

        Raises:
            GridcodeError: The image cannot be decoded, or is of another size than its map.
        """
        pixels = decode_image(source, name=name, orientation=self.orientation, max_pixels=self.max_pixels)
        image = to_channels(pixels, 3)
        if image.shape[:2] != shape:
            raise GridcodeError(
                f"{labels}: {shape[1]}x{shape[0]} pixels, but the image {key} has {image.shape[1]}x{image.shape[0]}; "
                f"{self._remedy(source, image.shape[:2], shape)}"
            )
        if not self._told:
            self._tell(file_orientation(source), key, shape)
        return image

    def _remedy(self, source: bytes | Path, found: tuple[int, ...], shape: tuple[int, int]) -> str:
        tag = file_orientation(source)
        if tag < 5 or found != shape[::-1]:
            return "image and map must be of one size"
        if self.orientation == "exif":
            return f"its EXIF orientation is {tag}: for maps drawn on the stored pixels set data.orientation=stored"
        return f"its EXIF orientation is {tag}: for maps drawn on the turned image set data.orientation=exif"

    def _tell(self, tag: int, key: str, shape: tuple[int, int]) -> None:
        """Say once that an image's way up is a guess."""
        if tag == 1 or (tag >= 5 and shape[0] != shape[1]):
            return
        self._told = True
        meant = "turned by it" if self.orientation == "exif" else "left as they are stored"
        unclear = f"{key} has EXIF orientation {tag}, and its size does not tell which way up its label map is"
        _LOG.warning("%s: %s; such images are %s (data.orientation=%s)", self._where, unclear, meant, self.orientation)


class ImagesAsStored(StoredImages):
    """A source whose images are left as they lie in their files.

    Args:
        source: Images in files.
    """

    def __init__(self, source: EncodedImages) -> None:
        self.name = source.name
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def key(self, index: int) -> str:
        """The key in the source."""
        return self._source.key(index)

    def __getitem__(self, index: int) -> Example:
        return Example(image=self._source.decoded(index, orientation="stored"), label=None, key=self.key(index))
