"""Colour as a label map: the model sees an image in grey and writes its red, green and blue.

Grey is Pillow's luma, (299 R + 587 G + 114 B) / 1000 (ITU-R 601-2), of the image after its crop. Values pass
unchanged: byte v is v / 127.5 - 1 for the model, and x is round(127.5 (x + 1)) again, clamped to a byte.

Reference: Kolesnikov et al., UViM, 2022 (mean squared error on RGB in [-1, 1]).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.data.crop import to_channels
from gridcode.data.source import ImageSource, StoredImages
from gridcode.domains.dense.data.geometry import resize_image
from gridcode.domains.dense.data.source import DenseExample, DenseSource, LabelMap, Planes


class ColourMap(LabelMap):
    """RGB values as labels, grey as the image.

    >>> labels = ColourMap().encode(np.full((3, 1, 1), 255, np.uint8))
    >>> labels.ravel().tolist(), ColourMap().decode([torch.from_numpy(labels)[None]]).ravel().tolist()
    ([1.0, 1.0, 1.0], [255, 255, 255])
    """

    groups = ()
    masked = None
    context_channels = 1

    def encode(self, planes: Planes) -> Planes:
        """Bytes (3, H, W) to float32 in [-1, 1]."""
        return planes.astype(np.float32) / np.float32(127.5) - np.float32(1)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """RGB in [-1, 1], (B, 3, H, W), to bytes; what lies outside is clamped."""
        (colours,) = outputs
        return ((colours.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def mean(self, maps: Sequence[Tensor]) -> Tensor:
        """Mean colours, rounded to bytes."""
        return torch.stack(list(maps)).float().mean(dim=0).round().to(torch.uint8)

    def resize(self, planes: Planes, height: int, width: int) -> Planes:
        """As the image is resized."""
        return resize_image(planes.transpose(1, 2, 0), height, width).transpose(2, 0, 1)

    def context(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image in grey, (H, W, 1)."""
        return to_channels(np.ascontiguousarray(image), 1)

    def image(self, planes: Planes) -> NDArray[np.uint8]:
        """The colours themselves."""
        return np.ascontiguousarray(np.asarray(planes, np.uint8).transpose(1, 2, 0))


class ColourImages(DenseSource):
    """Any source of images, to be colourised; a grey image is grey in its labels too.

    >>> from gridcode.data.scenes.source import Scenes
    >>> example = ColourImages(Scenes(seed=0, start=0, count=2, size=8))[1]
    >>> example.planes.shape, bool((example.planes == example.image.transpose(2, 0, 1)).all()), example.key
    ((3, 8, 8), True, 'scene-0-000001')
    """

    def __init__(self, source: ImageSource) -> None:
        self.name = source.name
        self.in_memory = source.in_memory
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def key(self, index: int) -> str:
        """The image's key in its own source."""
        return self._source.key(index) if isinstance(self._source, StoredImages) else self._source[index].key

    def __getitem__(self, index: int) -> DenseExample:
        example = self._source[index]
        image = to_channels(example.image, 3)
        return DenseExample(image, image.transpose(2, 0, 1), example.key)
