"""Panoptic maps in the canonical order: a channel of classes and a channel of instances, (2, H, W).

Every segment, stuff included, has an instance id; ids count from 1 in the order of the segments' centres (mean y
first, then mean x). Unlabelled pixels are class 0 and instance 0, and count in the loss. Where there are more
segments than ids, the smallest ones become unlabelled. A crowd (many things under one mask) is a segment like any
other; the third stored plane marks it for the metric.

Decoding: instance = argmax of the instance logits; class of an instance = argmax of the class logits summed over
its pixels; instance 0 and what comes out as class 0 is unlabelled; segments under ``min_share`` of the image are
dropped; two segments of one stuff class are one, as COCO's format demands; ids are canonical again.

Reference: Kolesnikov et al., UViM, 2022, section 4.1. Differs from paper: it says neither which segments go where
ids run out, nor that stuff is joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.domains.dense.data.config import PanopticConfig
from gridcode.domains.dense.data.geometry import resize_nearest
from gridcode.domains.dense.data.source import LabelMap, Planes
from gridcode.errors import GridcodeError

_TABLE: Final = 1 << 16
_GOLDEN: Final = 0.618033988749895  # steps of the golden ratio give neighbours in number colours far apart


class PanopticMap(LabelMap):
    """Classes and instances of the segments of an image.

    Args:
        config: The classes, the number of instance ids, the smallest segment.

    >>> from gridcode.domains.dense.data.config import Categories
    >>> panoptic = PanopticMap(PanopticConfig(Categories(("sky", "cup"), (False, True)), instances=4))
    >>> stored = np.array([[[1, 1, 2, 2, 0]], [[7, 7, 9, 3, 0]], [[0, 0, 0, 1, 0]]])
    >>> panoptic.encode(stored).tolist()
    [[[1, 1, 2, 2, 0]], [[1, 1, 2, 3, 0]]]
    """

    masked = None
    context_channels = 3
    averages = False

    def __init__(self, config: PanopticConfig) -> None:
        self.config = config
        self.groups = (1 + len(config.categories.names), config.instances)

    def encode(self, planes: Planes) -> Planes:
        """Class and canonical instance, int64 (2, H, W), of stored planes (class, instance[, crowd])."""
        return canonical(planes[0], planes[1], most=self.config.instances - 1)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Class and instance, int64 (B, 2, H, W) on the CPU, from logits (B, 1 + classes, H, W) and (B, ids, H, W)."""
        semantic, instance = (logits.detach().float() for logits in outputs)
        ids = instance.argmax(dim=1)
        place = ids.flatten(1)[:, None].expand(-1, semantic.shape[1], -1)
        sums = semantic.new_zeros(*semantic.shape[:2], instance.shape[1])
        sums.scatter_add_(2, place, semantic.flatten(2))
        classes = sums.argmax(dim=1).gather(1, ids.flatten(1)).reshape(ids.shape)
        pairs = zip(classes.cpu().numpy(), ids.cpu().numpy(), strict=True)
        return torch.from_numpy(np.stack([self._segments(c, i) for c, i in pairs]))

    def mean(self, maps: Sequence[Tensor]) -> Tensor:
        """Refused.

        Raises:
            GridcodeError: Segments of two maps have no mean.
        """
        raise GridcodeError("panoptic segments have no mean")

    def resize(self, planes: Planes, height: int, width: int) -> Planes:
        """The label at each pixel's centre."""
        return resize_nearest(planes, height, width)

    def context(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as it is."""
        return image

    def image(self, planes: Planes) -> NDArray[np.uint8]:
        """A hue a class, a lightness a segment, black borders between segments and where nothing is labelled.

        Segments are numbered canonically first, so that equal maps with other ids give one image.
        """
        classes, ids = canonical(np.asarray(planes[0]), np.asarray(planes[1]), most=planes[0].size)
        palette = np.array([class_colour(number) for number in range(self.groups[0])])
        shade = np.where(ids > 0, 0.7 + 0.3 * np.mod(ids * _GOLDEN, 1.0), 0.0)
        image: NDArray[np.uint8] = (palette[classes] * shade[..., None]).round().astype(np.uint8)
        key = classes * (ids.max(initial=0) + 1) + ids
        edge = np.zeros(key.shape, bool)
        edge[1:] |= key[1:] != key[:-1]
        edge[:, 1:] |= key[:, 1:] != key[:, :-1]
        image[edge] = 0
        return image

    def _segments(self, classes: NDArray[np.int64], ids: NDArray[np.int64]) -> Planes:
        """Drop what is small or unlabelled, join stuff, and number anew; (2, H, W)."""
        labelled = (classes > 0) & (ids > 0)
        classes, ids = np.where(labelled, classes, 0), np.where(labelled, ids, 0)
        stuff = np.array([False, *(not thing for thing in self.config.categories.things)])
        ids = np.where(stuff[classes], 1, ids)  # ids are told apart within a class, so this touches no thing
        least = self.config.min_share * classes.size
        return canonical(classes, ids, most=self.config.instances - 1, least=least)


def canonical(
    classes: NDArray[np.integer], instances: NDArray[np.integer], *, most: int, least: float = 0.0
) -> NDArray[np.int64]:
    """Number the segments by their centres, y first.

    A segment is all pixels of one class and one instance; ties of centres go by class and old instance.

    Args:
        classes: (H, W); 0 is unlabelled.
        instances: (H, W), non-negative; the ids may be any, and 0 is one of them where a class is given.
        most: Number of segments that get an id; of more, the smallest become unlabelled.
        least: Segments of fewer pixels become unlabelled.

    Returns:
        Class and instance, int64 (2, H, W).

    >>> canonical(np.array([[2, 1], [2, 0]]), np.array([[5, 5], [5, 9]]), most=9).tolist()
    [[[2, 1], [2, 0]], [[2, 1], [2, 0]]]
    """
    shape, wide = classes.shape, int(instances.max(initial=0)) + 1
    joint = np.where(classes > 0, classes.astype(np.int64) * wide + instances, 0)
    found, place, areas = _distinct(joint)
    centre_y, centre_x = (
        np.bincount(place.ravel(), weights=axis.ravel(), minlength=len(found)) / areas
        for axis in np.broadcast_arrays(np.arange(shape[0])[:, None], np.arange(shape[1]))
    )
    segments = np.flatnonzero((found > 0) & (areas >= least))
    largest = segments[np.argsort(-areas[segments], kind="stable")][:most]
    order = largest[np.lexsort((found[largest], centre_x[largest], centre_y[largest]))]
    number = np.zeros(len(found), np.int64)
    number[order] = np.arange(1, len(order) + 1)
    result = number[place]
    return np.stack([np.where(result > 0, classes, 0).astype(np.int64), result])


def _distinct(
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct numbers in order, where each pixel's is among them, and how many pixels each has."""
    if numbers.max(initial=0) < _TABLE:  # counting takes a fifth of the time that sorting does
        counts = np.bincount(numbers.ravel())
        found = np.flatnonzero(counts)
        rank = np.zeros(len(counts), np.int64)
        rank[found] = np.arange(len(found))
        return found, rank[numbers], counts[found]
    found, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return found, place.reshape(numbers.shape), counts


def class_colour(number: int) -> NDArray[np.float64]:
    """RGB in 0 … 255 of a class, distinct for neighbouring numbers; black for 0 (unlabelled).

    >>> class_colour(0).tolist()
    [0.0, 0.0, 0.0]
    """
    if number == 0:
        return np.zeros(3)
    hue = (number * _GOLDEN) % 1.0
    saturation = (0.85, 0.55, 0.7)[number % 3]
    wheel = np.clip(np.abs(np.mod(hue * 6 + np.array([0.0, 4.0, 2.0]), 6) - 3) - 1, 0, 1)
    colour: NDArray[np.float64] = 255 * (1 - saturation + saturation * wheel)
    return colour
