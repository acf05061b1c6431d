"""What needs no model: the label maps that a dense prediction must beat.

    depth      mean depth per pixel         of the training images where the pixel is valid
    panoptic   commonest class              one segment of the class with most training pixels
               commonest class per pixel    each class one segment
    colour     grey                         red, green and blue as bright as the image

The mean over pixels of relative depth is that of the normalised maps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.dense.data.config import Categories, DenseConfig
from gridcode.domains.dense.data.depth import DepthMap
from gridcode.domains.dense.data.loader import DenseBatch
from gridcode.domains.dense.data.open import make_label_map
from gridcode.domains.dense.data.panoptic import canonical
from gridcode.errors import GridcodeError


class Baseline(ABC):
    """Something that predicts label maps without a model."""

    @abstractmethod
    def predict(self, batch: DenseBatch) -> Tensor:
        """Maps (B, n, H, W) as a label tokenizer decodes them; only the images of ``batch`` may be looked at."""


class ConstantMap(Baseline):
    """The same map for every image.

    Args:
        planes: The map, (n, H, W).
    """

    def __init__(self, planes: Tensor) -> None:
        self.planes = planes

    def predict(self, batch: DenseBatch) -> Tensor:
        """The map, B times."""
        return self.planes.expand(len(batch.keys), *self.planes.shape)


class GreyMap(Baseline):
    """An image that stays grey.

    >>> batch = DenseBatch(torch.ones(1, 1, 2, 2), torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), ("a",))
    >>> GreyMap().predict(batch).unique().tolist()
    [255]
    """

    def predict(self, batch: DenseBatch) -> Tensor:
        """The grey that the model sees, in all three colours, as bytes."""
        grey = ((batch.images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return grey.expand(-1, 3, -1, -1)


def fit_baselines(
    data: DenseConfig, categories: Categories | None, batches: Iterable[DenseBatch]
) -> dict[str, Baseline]:
    """The baselines of a task, by name.

    Args:
        data: The task, and how depth is binned.
        categories: The classes of a panoptic task.
        batches: Training images with label maps; not looked at for colour.

    Raises:
        GridcodeError: There is no pixel to learn from.
    """
    if data.task == "colour":
        return {"grey": GreyMap()}
    if data.task == "depth":
        label_map = make_label_map(data, categories)
        assert isinstance(label_map, DepthMap)
        return {"mean depth per pixel": ConstantMap(_mean_depth(label_map, batches))}
    counts = _class_counts(batches, len(categories.names) if categories else 0)
    # Class 0 is unlabelled: predicting it is predicting nothing.
    commonest = 1 + counts[1:].sum(dim=(1, 2)).argmax()
    everywhere = commonest.expand(counts.shape[1:])
    each = 1 + counts[1:].argmax(dim=0)
    return {
        "commonest class": _one_segment_a_class(everywhere),
        "commonest class per pixel": _one_segment_a_class(each),
    }


def _mean_depth(label_map: DepthMap, batches: Iterable[DenseBatch]) -> Tensor:
    """(1, H, W) float32, on the CPU: mean over the images where the depth is in range; elsewhere the mean of all."""
    total, count = torch.zeros(()), torch.zeros(())
    for batch in batches:
        depth = torch.from_numpy(np.stack([label_map.normalise(planes) for planes in batch.planes.numpy()])).double()
        valid = torch.from_numpy(np.stack([label_map.encode(planes) for planes in batch.planes.numpy()])) > 0
        total = total + torch.where(valid, depth, 0.0).sum(dim=0)
        count = count + valid.sum(dim=0)
    if not count.any():
        raise GridcodeError("no training pixel has a depth in range; check depth.png-scale, depth.near and depth.far")
    mean = torch.where(count > 0, total / count.clamp(min=1), total.sum() / count.sum())
    return mean.float()


def _class_counts(batches: Iterable[DenseBatch], classes: int) -> Tensor:
    """How often each class is at each pixel, (1 + classes, H, W) int64."""
    counts = torch.zeros(1 + classes, 1, 1, dtype=torch.int64)
    for batch in batches:
        seen = batch.planes[:, 0].long()
        pixels = torch.arange(seen[0].numel()).view(seen.shape[1:])
        places = seen * pixels.numel() + pixels
        found = torch.bincount(places.flatten(), minlength=len(counts) * pixels.numel())
        counts = counts + found.view(len(counts), *pixels.shape)
    if not counts[1:].any():
        raise GridcodeError("no training pixel is labelled; check the label maps")
    return counts


def _one_segment_a_class(classes: Tensor) -> ConstantMap:
    """Class and canonical instance, (2, H, W), of a map of classes."""
    numbers = classes.numpy()
    return ConstantMap(torch.from_numpy(canonical(numbers, np.ones_like(numbers), most=numbers.size)))
