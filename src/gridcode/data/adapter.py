"""Any PyTorch data set as a source of images."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.image import pillow_pixels
from gridcode.data.source import Example, ImageSource
from gridcode.errors import GridcodeError


class TorchDataset(ImageSource):
    """Wraps a map-style PyTorch data set whose items are an image or a pair (image, label).

    An image is a Pillow image, a uint8 array (H, W), (H, W, 1) or (H, W, 3), or a float tensor (1 or 3, H, W)
    with values in [0, 1]. A label is an integer; a negative one means none.

    Args:
        dataset: The data set; it must have a length.
        name: What to record as the origin.
        classes: Class names in label order, if there are labels.

    Raises:
        GridcodeError: The data set has no length; on reading, an item is none of the above.

    >>> pairs = torch.utils.data.TensorDataset(torch.ones(2, 3, 4, 4), torch.tensor([1, 0]))
    >>> example = TorchDataset(pairs, name="ones", classes=("a", "b"))[0]
    >>> example.image.shape, int(example.image.max()), example.label
    ((4, 4, 3), 255, 1)
    """

    def __init__(self, dataset: torch.utils.data.Dataset[Any], *, name: str, classes: tuple[str, ...] = ()) -> None:
        if not isinstance(dataset, Sized):
            raise GridcodeError(f"{name}: a {type(dataset).__name__} has no length; give a map-style data set")
        self.name = name
        self.classes = tuple(classes)
        self._dataset = dataset
        self._length = len(dataset)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        where = f"{self.name}, item {index}"
        try:
            item = self._dataset[index]
        except (OSError, SyntaxError) as error:  # what Pillow raises on a damaged file
            raise GridcodeError(f"{where}: cannot be read ({error}); or set data.on_error=skip") from error
        image, label = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
        return Example(image=_pixels(image, where), label=self._label(label, where), key=str(index))

    def _label(self, label: object, where: str) -> int | None:
        if label is None:
            return None
        if isinstance(label, torch.Tensor | np.ndarray) and label.ndim == 0:
            label = label.item()
        if not isinstance(label, int | np.integer):
            raise GridcodeError(f"{where}: a label must be an integer, not {type(label).__name__}")
        if label >= len(self.classes):
            raise GridcodeError(f"{where}: label {label}, but {len(self.classes)} class names; pass one name a label")
        return int(label) if label >= 0 else None


def _pixels(image: object, where: str) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3) of one item's image."""
    if isinstance(image, Image.Image):
        try:
            return pillow_pixels(image)
        except (OSError, ValueError) as error:
            raise GridcodeError(f"{where}: cannot be read ({error}); or set data.on_error=skip") from error
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        pixels = image[..., None] if image.ndim == 2 else image
        if pixels.ndim == 3 and pixels.shape[2] in (1, 3) and pixels.size:
            return pixels
    if (
        isinstance(image, torch.Tensor)
        and image.is_floating_point()
        and (image.ndim == 3 and image.shape[0] in (1, 3) and image.numel())
    ):
        return _from_float(image, where)
    seen = f"{type(image).__name__} {getattr(image, 'dtype', '')} {tuple(getattr(image, 'shape', ()))}"
    raise GridcodeError(
        f"{where}: an image must be a Pillow image, a uint8 array (H, W, 1 or 3) or a float tensor "
        f"(1 or 3, H, W), not {seen}"
    )


def _from_float(image: torch.Tensor, where: str) -> NDArray[np.uint8]:
    low, high = image.min().item(), image.max().item()
    if not (low >= 0.0 and high <= 1.0):
        raise GridcodeError(f"{where}: a float tensor must lie in [0, 1], not [{low:.3g}, {high:.3g}]; undo Normalize")
    rounded: NDArray[np.uint8] = (image.detach().cpu() * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return rounded
