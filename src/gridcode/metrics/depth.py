r"""Errors of depth maps: of each image, then averaged over the images.

Over the n counted pixels of an image, with depth d predicted and g true, e = log d - log g:

    RMSE     = sqrt(mean (d - g)^2)         metres
    AbsRel   = mean |d - g| / g
    delta_k  = share of pixels with max(d / g, g / d) < 1.25^k, k = 1, 2, 3
    log RMSE = sqrt(mean e^2)               nats
    SILog    = sqrt(mean e^2 - (mean e)^2)  nats; the same for a d and b g, whatever a, b > 0

A pixel counts where near < g < far and the crop, named, contains it. Where truth or prediction is known up to a
scale only, SILog is what to read; the other figures then need an alignment of each image first:

    none          d as it is
    scale         a d with a = sum d g / sum d^2 (least squares)
    scale_shift   a d + b, least squares; what falls to zero or below becomes ``near``

Crops are rows and columns of a 480 x 640 image, scaled to the size at hand by rounding:

    nyu     rows 54:480, columns 41:601   UViM's
    eigen   rows 45:471, columns 41:601   Eigen et al.'s, as published code writes it

Reference: Eigen, Puhrsch, Fergus, "Depth map prediction from a single image using a multi-scale deep network",
2014 (SILog^2 is twice their equation 1; KITTI prints 100 SILog); Kolesnikov et al., UViM, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from gridcode.errors import GridcodeError

_CROPS: Final = {"none": (0, 480, 0, 640), "nyu": (54, 480, 41, 601), "eigen": (45, 471, 41, 601)}


_FIGURES: Final = ("rmse", "abs_rel", "delta", "delta_2", "delta_3", "rmse_log", "si_log")


@dataclass(frozen=True)
class DepthScores:
    """Means over images."""

    rmse: float
    """Metres."""
    abs_rel: float
    """Relative error, a share."""
    delta: float
    """Share of pixels within a factor of 1.25."""
    delta_2: float
    """Share of pixels within a factor of 1.25² = 1.5625."""
    delta_3: float
    """Share of pixels within a factor of 1.25³ = 1.953125."""
    rmse_log: float
    """Root mean squared error of log depth, nats."""
    si_log: float
    """Scale-invariant error in nats."""
    count: int
    """Images counted."""
    empty: int
    """Images without a single pixel that counts."""


class DepthErrors:
    """Depth errors of a set, seen batch by batch; counted on the CPU, in float64.

    Args:
        near: Metres; nearer pixels do not count.
        far: Metres; farther pixels do not count.
        crop: 'none', or the part of the image that counts.
        align: What is fitted to each image first.

    >>> errors = DepthErrors()
    >>> errors.update(torch.full((1, 1, 2, 2), 2.2), torch.full((1, 1, 2, 2), 2.0))
    >>> scores = errors.compute()
    >>> round(scores.rmse, 3), round(scores.abs_rel, 3), scores.delta, round(scores.si_log, 3)
    (0.2, 0.1, 1.0, 0.0)
    """

    def __init__(
        self,
        *,
        near: float = 1e-3,
        far: float = 10.0,
        crop: Literal["none", "nyu", "eigen"] = "none",
        align: Literal["none", "scale", "scale_shift"] = "none",
    ) -> None:
        if not 0 < near < far:
            raise GridcodeError(f"depth errors: needs 0 < near < far, saw {near} and {far}")
        if crop not in _CROPS:
            raise GridcodeError(f"depth errors: crop must be one of {', '.join(_CROPS)}, not {crop!r}")
        if align not in ("none", "scale", "scale_shift"):
            raise GridcodeError(f"depth errors: align must be 'none', 'scale' or 'scale_shift', not {align!r}")
        self.near, self.far, self.crop, self.align = near, far, crop, align
        self._sums = torch.zeros(len(_FIGURES), dtype=torch.float64, device="cpu")
        self._count = 0
        self._empty = 0

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images.

        Args:
            predicted: Depth, float (B, 1, H, W), positive where the truth counts; with 'scale_shift' any.
            truth: Depth, float (B, 1, H, W); 0 is invalid.

        Raises:
            GridcodeError: The shapes differ, or a predicted depth that counts is not positive and finite.
        """
        if predicted.shape != truth.shape or truth.ndim != 4 or truth.shape[1] != 1:
            raise GridcodeError(
                f"depth errors: needs two batches (B, 1, H, W), saw {tuple(predicted.shape)} and {tuple(truth.shape)}"
            )
        rows, columns = crop_region(self.crop, truth.shape[2], truth.shape[3])
        part = (slice(None), 0, rows, columns)
        for d, g in zip(predicted[part].cpu().double(), truth[part].cpu().double(), strict=True):
            counts = (g > self.near) & (g < self.far)
            if not counts.any():
                self._empty += 1
                continue
            self._sums += _errors(self._aligned(d[counts], g[counts]), g[counts])
            self._count += 1

    def merge(self, other: DepthErrors) -> None:
        """Add everything that ``other`` has seen, for instance on another process."""
        mine, theirs = ((e.near, e.far, e.crop, e.align) for e in (self, other))
        if mine != theirs:
            raise GridcodeError(f"depth errors: cannot merge scores of other settings, {mine} and {theirs}")
        self._sums += other._sums
        self._count += other._count
        self._empty += other._empty

    def compute(self) -> DepthScores:
        """The means so far.

        Raises:
            GridcodeError: No image had a pixel that counts.
        """
        if not self._count:
            raise GridcodeError(
                f"depth errors: no pixel with {self.near} < depth < {self.far} was seen in {self._empty} images; "
                "check units and range"
            )
        means = dict(zip(_FIGURES, (self._sums / self._count).tolist(), strict=True))
        return DepthScores(**means, count=self._count, empty=self._empty)

    def _aligned(self, d: Tensor, g: Tensor) -> Tensor:
        """The prediction fitted to the truth over the pixels that count, (n,) float64."""
        if not torch.isfinite(d).all():
            raise GridcodeError("depth errors: a predicted depth is NaN or infinite; check the model")
        if self.align == "scale_shift":
            apart = d - d.mean()
            spread = apart.square().sum()
            slope = (apart * (g - g.mean())).sum() / spread if spread > 0 else 0.0
            return (g.mean() + slope * apart).clamp(min=self.near)
        if not (d > 0).all():
            raise GridcodeError(
                f"depth errors: a predicted depth is {float(d.min()):.4g} where the truth is valid; predict a positive "
                "depth everywhere"
            )
        return d * ((d * g).sum() / d.square().sum()) if self.align == "scale" else d


def crop_region(crop: Literal["none", "nyu", "eigen"], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a named crop in an image of any size.

    Args:
        crop: Its name.
        height: Rows of the image.
        width: Columns of the image.

    >>> crop_region("nyu", 480, 640), crop_region("nyu", 120, 160)[0]
    ((slice(54, 480, None), slice(41, 601, None)), slice(14, 120, None))
    """
    top, bottom, left, right = _CROPS[crop]
    rows = slice(round(top * height / 480), round(bottom * height / 480))
    return rows, slice(round(left * width / 640), round(right * width / 640))


def _errors(d: Tensor, g: Tensor) -> Tensor:
    """The figures of one image in the order of ``_FIGURES``, (7,) float64."""
    difference, e = d - g, (d / g).log()
    ratio = torch.maximum(d / g, g / d)
    return torch.stack(
        [
            difference.square().mean().sqrt(),
            (difference.abs() / g).mean(),
            *((ratio < 1.25**k).double().mean() for k in (1, 2, 3)),
            e.square().mean().sqrt(),
            e.var(unbiased=False).sqrt(),
        ]
    )
