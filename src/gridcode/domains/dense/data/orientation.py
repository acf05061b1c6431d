"""Pictures the way up that their label maps are.

    data.orientation   picture                            label map
    exif               turned by its EXIF orientation     turned by its own, if it has one
    stored             as it lies in the file             as it lies in the file

Tools differ: browsers, most annotators and detectron2 turn the picture, COCO's own tools and plain Pillow do not. Of a
picture that lies on its side the sizes tell which was meant, and
an error names the other setting. Of a square, mirrored or upside-down one nothing tells; that is said once.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridcode.data.crop import to_channels
from gridcode.data.image import decode_image, file_orientation
from gridcode.data.source import EncodedImages, Example, StoredImages
from gridcode.domains.dense.data.config import Orientation
from gridcode.errors import GridcodeError

_LOG = logging.getLogger(__name__)


class LabelledPictures:
    """Reads the pictures of label maps and checks that both are of one size.

    Args:
        where: The source's name, for what is said.
        orientation: Which way up.
        max_pixels: A picture of more is refused; None for Pillow's own limit.
    """

    def __init__(self, where: str, orientation: Orientation, max_pixels: int | None = None) -> None:
        self.orientation = orientation
        self.max_pixels = max_pixels
        self._where = where
        self._told = False

    def read(
        self, source: bytes | Path, *, name: str, key: str, shape: tuple[int, int], labels: str
    ) -> NDArray[np.uint8]:
        """The picture in RGB, (H, W, 3).

        Args:
            source: The file's bytes, or its path.
            name: What to call it in an error of decoding.
            key: The picture's key.
            shape: Height and width of its label map.
            labels: What to call the label map.

        Raises:
            GridcodeError: The picture cannot be decoded, or is of another size than its map.
        """
        pixels = decode_image(source, name=name, orientation=self.orientation, max_pixels=self.max_pixels)
        image = to_channels(pixels, 3)
        if image.shape[:2] != shape:
            raise GridcodeError(
                f"{labels}: {shape[1]}x{shape[0]} pixels, but the picture {key} has {image.shape[1]}x{image.shape[0]}; "
                f"{self._remedy(source, image.shape[:2], shape)}"
            )
        if not self._told:
            self._tell(file_orientation(source), key, shape)
        return image

    def _remedy(self, source: bytes | Path, found: tuple[int, ...], shape: tuple[int, int]) -> str:
        tag = file_orientation(source)
        if tag < 5 or found != shape[::-1]:
            return "picture and map must be of one size"
        if self.orientation == "exif":
            return f"its EXIF orientation is {tag}: for maps drawn on the stored pixels set data.orientation=stored"
        return f"its EXIF orientation is {tag}: for maps drawn on the turned picture set data.orientation=exif"

    def _tell(self, tag: int, key: str, shape: tuple[int, int]) -> None:
        """Say once that a picture's way up is a guess."""
        if tag == 1 or (tag >= 5 and shape[0] != shape[1]):
            return
        self._told = True
        meant = "turned by it" if self.orientation == "exif" else "left as they are stored"
        unclear = f"{key} has EXIF orientation {tag}, and its size does not tell which way up its label map is"
        _LOG.warning(
            "%s: %s; such pictures are %s (data.orientation=%s)", self._where, unclear, meant, self.orientation
        )


class PicturesAsStored(StoredImages):
    """A source whose pictures are left as they lie in their files.

    Args:
        source: Pictures in files.
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
