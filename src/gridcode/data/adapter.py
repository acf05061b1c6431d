"""Any PyTorch data set as a source of images."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.image import pillow_pixels
from gridcode.data.npz import labels_of, pixels_of
from gridcode.data.source import Example, ImageSource
from gridcode.errors import FileError, GridcodeError


class TorchDataset(ImageSource):
    """Wraps a map-style PyTorch data set whose items are an image, (image,), (image, label) or a dictionary.

    An image is a Pillow image, or an array or tensor of uint8, of uint16, of bool, or of floats in [0, 1]: (H, W),
    (H, W, C) or (C, H, W), with C of 1 or 3; where both would do, an array has its channels last and a tensor
    first. A label is a whole number, a bool included; a negative one means none. A dictionary has one of 'image',
    'pixel_values', 'img' and at most one of 'label', 'labels'.

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
        except GridcodeError:
            raise
        except (OSError, SyntaxError) as error:  # what Pillow raises on a damaged file
            raise FileError(f"{where}: cannot be read ({error}); or set data.on_error=skip") from error
        image, label = _parts(item, where)
        return Example(image=_pixels(image, where), label=self._label(label, where), key=str(index))

    def _label(self, label: object, where: str) -> int | None:
        if label is None:
            return None
        values = (
            label.detach().cpu().float() if isinstance(label, torch.Tensor) and label.is_floating_point() else label
        )
        values = np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)
        if values.dtype.kind not in "biuf":
            raise GridcodeError(f"{where}: a label must be an integer, not {type(label).__name__}")
        if values.size != 1:
            raise GridcodeError(
                f"{where}: a label must be an integer, not {values.dtype} {values.shape}; of a one-hot label "
                "give label.argmax()"
            )
        label = int(labels_of(values.reshape(()), f"{where}: a label"))
        if label >= len(self.classes):
            raise GridcodeError(f"{where}: label {label}, but {len(self.classes)} class names; pass one name a label")
        return label if label >= 0 else None


def _pixels(image: object, where: str) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3) of one item's image."""
    if isinstance(image, Image.Image):
        try:
            return pillow_pixels(image)
        except Exception as error:  # Pillow may load it only now, and lets through whatever damage makes it trip over
            raise FileError(f"{where}: cannot be read ({error}); or set data.on_error=skip") from error
    if isinstance(image, torch.Tensor):
        stored = image.detach().cpu()
        stored = stored.float() if stored.is_floating_point() else stored
        return pixels_of(stored.numpy(), where, channels_first=True)
    if isinstance(image, np.ndarray):
        return pixels_of(image, where)
    raise GridcodeError(
        f"{where}: an image must be a Pillow image, an array or a tensor, not {type(image).__name__}; "
        "give (image, label) or a dictionary with 'image' and 'label'"
    )


def _parts(item: object, where: str) -> tuple[object, object]:
    """The image and the label, None where there is none, of a data set's item."""
    if isinstance(item, Mapping):
        return _named(item, _IMAGE_NAMES, where), _named(item, _LABEL_NAMES, where, needed=False)
    if not isinstance(item, tuple | list):
        return item, None
    if not 1 <= len(item) <= 2:
        raise GridcodeError(f"{where}: {len(item)} values; give an image, or (image, label)")
    return item[0], item[1] if len(item) == 2 else None


_IMAGE_NAMES = ("image", "pixel_values", "img")
_LABEL_NAMES = ("label", "labels")


def _named(item: Mapping[Any, object], names: tuple[str, ...], where: str, *, needed: bool = True) -> object:
    found = [name for name in names if name in item]
    if len(found) > 1 or (needed and not found):
        raise GridcodeError(
            f"{where}: a dictionary needs one of {', '.join(names)}, but has {', '.join(map(str, item))}; rename them"
        )
    return item[found[0]] if found else None
