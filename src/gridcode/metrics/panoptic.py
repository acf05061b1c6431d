"""Panoptic quality, by the definition of COCO's official evaluation.

Segments of one image match where their class is equal and IoU > 1/2, which makes the match unique. For class c,
with TP, FP, FN counted over all images,

    SQ_c = sum over matches of IoU / TP,   RQ_c = TP / (TP + FP/2 + FN/2),   PQ_c = SQ_c RQ_c

and PQ, SQ, RQ are means over the classes that occur (TP + FP + FN > 0), over all, the things, or the stuff.

    void    true pixels of class 0: taken off a prediction's area in the union
    crowd   a true segment over many things: never matched and never missed
    ignored an unmatched prediction that lies more than half in void and crowds of its own class: no FP

A segment is all pixels of one class and one instance. Predicted pixels of class 0 belong to no segment.

Reference: Kirillov et al., "Panoptic Segmentation", CVPR 2019, section 4.1; cocodataset/panopticapi
(``evaluation.py``). Differs from the latter: areas are counted in the map instead of read from the JSON, and an
image may have several crowds of one class (there the last one counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Quality:
    """Means over classes, each in [0, 1]; NaN where no class of the group occurs.

    >>> Quality(pq=0.4, sq=0.8, rq=0.5, classes=3).classes
    3
    """

    pq: float
    """Panoptic quality."""
    sq: float
    """Segmentation quality: how well matched segments overlap."""
    rq: float
    """Recognition quality: an F1 score of segments."""
    classes: int
    """Number of classes that occur."""


@dataclass(frozen=True)
class PanopticScores:
    """Panoptic quality of a set of images."""

    all: Quality
    """Over all classes."""
    things: Quality
    """Over countable classes."""
    stuff: Quality
    """Over the others."""
    per_class: tuple[Quality, ...]
    """Of each class alone, class 1 first."""
    images: int
    """Number of images seen."""


class PanopticQuality:
    """Panoptic quality, seen batch by batch; counted on the CPU.

    Args:
        things: For each class, class 1 first, whether it is countable.

    >>> quality = PanopticQuality([False, True])
    >>> truth = torch.tensor([[[[1, 1, 2, 2]], [[1, 1, 2, 3]], [[0, 0, 0, 0]]]])
    >>> quality.update(truth[:, :2], truth)
    >>> quality.compute().all
    Quality(pq=1.0, sq=1.0, rq=1.0, classes=2)
    """

    def __init__(self, things: Sequence[bool]) -> None:
        if not len(things):
            raise GridcodeError("panoptic quality: no classes; give one flag 'is a thing' for each")
        self._things = torch.tensor([bool(thing) for thing in things], device="cpu")
        self._counts = torch.zeros(3, len(things) + 1, dtype=torch.int64, device="cpu")  # TP, FP, FN
        self._iou = torch.zeros(len(things) + 1, dtype=torch.float64, device="cpu")
        self._images = 0

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images.

        Args:
            predicted: Class and instance, integers (B, 2, H, W), class 0 unlabelled.
            truth: Class, instance and, if there are crowds, whether a pixel is of one (0 or 1), integers (B, 2 or 3,
                H, W); class 0 is void.

        Raises:
            GridcodeError: Shapes or types do not fit, or a class is out of range.
        """
        self._check(predicted, truth)
        for prediction, target in zip(predicted.cpu().long(), truth.cpu().long(), strict=True):
            self._add(prediction, target)
            self._images += 1

    def merge(self, other: PanopticQuality) -> None:
        """Add everything that ``other`` has seen, for instance on another process."""
        if not torch.equal(self._things, other._things):
            raise GridcodeError("panoptic quality: cannot merge scores of other classes; use one list for both")
        self._counts += other._counts
        self._iou += other._iou
        self._images += other._images

    def compute(self) -> PanopticScores:
        """The scores so far.

        Raises:
            GridcodeError: No image was seen.
        """
        if not self._images:
            raise GridcodeError("panoptic quality: no image was seen; update() it with at least one")
        everything = torch.ones_like(self._things)
        alone = torch.eye(len(self._things), dtype=torch.bool)
        return PanopticScores(
            all=self._mean(everything),
            things=self._mean(self._things),
            stuff=self._mean(~self._things),
            per_class=tuple(self._mean(row) for row in alone),
            images=self._images,
        )

    def _mean(self, group: Tensor) -> Quality:
        """Means over the classes of a group, (classes,) bool, that occur."""
        occurs = group & (self._counts[:, 1:].sum(dim=0) > 0)
        if not occurs.any():
            return Quality(float("nan"), float("nan"), float("nan"), 0)
        tp, fp, fn = self._counts[:, 1:][:, occurs].double()
        sq = self._iou[1:][occurs] / tp.clamp(min=1)
        rq = tp / (tp + fp / 2 + fn / 2)
        return Quality(float((sq * rq).mean()), float(sq.mean()), float(rq.mean()), int(occurs.sum()))

    def _add(self, predicted: Tensor, truth: Tensor) -> None:
        """Count one image."""
        prediction, target = _Segments.of(predicted), _Segments.of(truth)
        overlaps, intersection = torch.unique(
            target.place * len(prediction.areas) + prediction.place, return_counts=True
        )
        t, p = overlaps // len(prediction.areas), overlaps % len(prediction.areas)
        void = torch.zeros_like(prediction.areas)
        void.index_add_(0, p, intersection * (target.classes[t] == 0))
        crowd = torch.zeros_like(prediction.areas)
        same = target.classes[t] == prediction.classes[p]
        crowd.index_add_(0, p, intersection * (same & target.crowd[t]))
        union = prediction.areas[p] + target.areas[t] - intersection - void[p]
        match = same & (target.classes[t] > 0) & ~target.crowd[t] & (2 * intersection > union)
        hit, found = torch.zeros_like(target.crowd), torch.zeros_like(prediction.areas, dtype=torch.bool)
        hit[t[match]], found[p[match]] = True, True
        ignored = 2 * (void + crowd) > prediction.areas
        self._count(0, target.classes[t[match]])
        self._count(1, prediction.classes[(prediction.classes > 0) & ~found & ~ignored])
        self._count(2, target.classes[(target.classes > 0) & ~hit & ~target.crowd])
        self._iou.index_add_(0, target.classes[t[match]], intersection[match].double() / union[match])

    def _count(self, row: int, classes: Tensor) -> None:
        self._counts[row].index_add_(0, classes, torch.ones_like(classes))

    def _check(self, predicted: Tensor, truth: Tensor) -> None:
        sizes = predicted.ndim == truth.ndim == 4 and predicted.shape[1] == 2 and truth.shape[1] in (2, 3)
        if not sizes or predicted.shape[::2] != truth.shape[::2] or predicted.shape[3] != truth.shape[3]:
            raise GridcodeError(
                "panoptic quality: needs predictions (B, 2, H, W) and truth (B, 2 or 3, H, W), saw "
                f"{tuple(predicted.shape)} and {tuple(truth.shape)}"
            )
        for what, maps in (("predicted", predicted), ("true", truth)):
            if maps.is_floating_point() or maps.is_complex():
                raise GridcodeError(f"panoptic quality: {what} maps must be integers, not {maps.dtype}; argmax first")
            if not maps.numel():
                continue
            classes, least = maps[:, 0], int(maps.min())
            if least < 0 or int(classes.max()) > len(self._things):
                raise GridcodeError(
                    f"panoptic quality: a {what} map holds values from {least} and classes up to {int(classes.max())}, "
                    f"but there are {len(self._things)} classes; 0 is unlabelled"
                )


@dataclass(frozen=True)
class _Segments:
    """The segments of one map; what is unlabelled is one of class 0, if it occurs."""

    place: Tensor
    """Segment of each pixel, (H W,) int64."""
    areas: Tensor
    """Pixels of each segment, (S,) int64."""
    classes: Tensor
    """(S,) int64."""
    crowd: Tensor
    """(S,) bool."""

    @staticmethod
    def of(planes: Tensor) -> _Segments:
        classes, instances = planes[0].flatten(), planes[1].flatten()
        crowd = planes[2].flatten().clamp(max=1) if len(planes) > 2 else torch.zeros_like(classes)
        wide = int(instances.max()) + 1 if len(instances) else 1
        joint = torch.where(classes > 0, (classes * wide + instances) * 2 + crowd, 0)
        found, place, areas = torch.unique(joint, return_inverse=True, return_counts=True)
        return _Segments(place, areas, found // 2 // wide, found % 2 == 1)
