"""Images that lie in files already, scored as they are: those of other programs, or of ``gridcode sample``.

a folder of image files, or arr_0 of a .npz file ─> images of one size ─> scores by a protocol
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from gridcode.data.crop import to_channels
from gridcode.data.folder import ImageFolder
from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import ProtocolName, Score
from gridcode.evaluation.reference import BATCH, Reference, image_batches, read_arrays
from gridcode.evaluation.score import Measured, few_images, score_images
from gridcode.features.extractor import Extractor


@dataclass(frozen=True)
class ImageFiles:
    """Images in files.

    Attributes:
        source: Where they lie.
        count: How many.
        width: Of each, in pixels.
        height: Likewise.
        batches: Reads them: images in [-1, 1], (B, 3, height, width) each.
    """

    source: str
    count: int
    width: int
    height: int
    batches: Callable[[], Iterator[Tensor]]

    @property
    def crop(self) -> str:
        """As protocols call it: images of a square are as if cropped to it."""
        return f"center {self.width}" if self.width == self.height else f"{self.width} x {self.height}"


def stored_images(path: str | Path) -> ImageFiles:
    """Find images in files; they are read when they are measured.

    Args:
        path: A folder of image files, at its top or in folders by class, or a .npz file with ``arr_0``, uint8
            (n, H, W, 3).

    Raises:
        GridcodeError: There are none, or they cannot be read.
    """
    path = Path(path).expanduser()
    if path.suffix == ".npz":
        arrays = read_arrays(path)
        if "arr_0" not in arrays:
            raise GridcodeError(f"{path} has no arr_0 ({', '.join(sorted(arrays)[:5])}); give a batch of images")
        images = arrays["arr_0"]
        first = next(iter(image_batches(images, path)), None)
        if first is None:
            raise GridcodeError(f"{path} has no images in arr_0; give at least one")
        return ImageFiles(str(path), len(images), first.shape[3], first.shape[2], lambda: image_batches(images, path))
    folder = ImageFolder(path)
    height, width = folder[0].image.shape[:2]
    return ImageFiles(str(path), len(folder), width, height, lambda: _read(folder, (height, width)))


def score_stored(
    images: ImageFiles, reference: Reference, *, name: ProtocolName, extractor: Extractor
) -> tuple[list[Score], list[str]]:
    """All scores that a protocol gives of images in files, and what must be known before believing them.

    Args:
        images: What is measured; as samples, of an unknown model.
        reference: What they are compared with.
        name: The protocol's.
        extractor: The protocol's.

    Raises:
        GridcodeError: The reference is of images of another size, one of these is, or there are too few.
    """
    if reference.crop not in (None, images.crop):
        raise GridcodeError(
            f"the reference has images of {reference.crop}, those in {images.source} are of {images.crop}; "
            "compare images of one size"
        )
    measured = Measured("samples", images.source, reference.split or "val", images.crop)
    scores = score_images(images.batches(), reference, measured, name=name, extractor=extractor)
    counts = {"images": images.count, "images in the reference": reference.count}
    warning = few_images(name, extractor, counts)
    return scores, [warning] if warning else []


def _read(folder: ImageFolder, size: tuple[int, int]) -> Iterator[Tensor]:
    """Batches of a folder's images."""
    for start in range(0, len(folder), BATCH):
        images = []
        for index in range(start, min(start + BATCH, len(folder))):
            image = folder[index].image
            if image.shape[:2] != size:
                raise GridcodeError(
                    f"{folder.key(index)} in {folder.name} is of {image.shape[1]} x {image.shape[0]} pixels, the first "
                    f"of {size[1]} x {size[0]}; images that are scored together have one size"
                )
            images.append(to_channels(image, 3))
        yield from image_batches(np.stack(images), folder.path)
