"""How close are two images? Peak signal-to-noise ratio and structural similarity.

Both compare images on the range [0, 1]. The library's images lie in [-1, 1]; they are mapped to (x + 1) / 2
and clamped, because a decoder may overshoot and a screen would clip. They are *not* rounded to 8 bits:
rounding adds noise of its own at about 59 dB, more than the last decibels of a very good reconstruction.

    MSE  = mean over C, H, W of (a - b)^2
    PSNR = 10 log10(1 / MSE)   in decibels, at most ``MAX_PSNR``

The PSNR of a set is the mean of its images' PSNR, as in the compression literature, not the PSNR of the mean
error; the cap keeps that mean finite when an image is perfect. SSIM is averaged over channels and over the
windows around every pixel, with the image reflected at its borders.

Reference: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", 2004 (SSIM with an 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from gridcode.errors import GridcodeError

MAX_PSNR = 100.0
"""PSNR of identical images, in decibels; no image counts for more."""

MULTISCALE_LEAST = 176
"""Pixels of a side that MS-SSIM needs: an 11 x 11 window after four halvings."""

_SSIM_LEAST = 6  # the 11 x 11 window reaches 5 pixels over the border, and reflection needs one more


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair of images.

    Args:
        a: images in [-1, 1], (B, C, H, W).
        b: images of the same shape.

    Returns:
        Decibels on the range [0, 1], (B,) float32, at most ``MAX_PSNR``.

    Raises:
        GridcodeError: The shapes differ or are not (B, C, H, W).

    >>> psnr(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.2)).round(decimals=2)
    tensor([20., 20.])
    """
    a, b = _unit_range(a, b, what="psnr")
    error = (a - b).square().mean(dim=(1, 2, 3))
    return -10.0 * torch.log10(error.clamp(min=10.0 ** (-MAX_PSNR / 10.0)))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each pair of images.

    Args:
        a: images in [-1, 1], (B, C, H, W), at least 6 pixels high and wide.
        b: images of the same shape.

    Returns:
        Similarity in [-1, 1], 1 for identical images, (B,) float32.

    Raises:
        GridcodeError: The shapes differ, are not (B, C, H, W), or are too small for the window.

    >>> images = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    >>> ssim(images, images)
    tensor([1.])
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = _large_enough(a, b, _SSIM_LEAST, what="ssim", needs="its 11x11 window", instead="only psnr")
    if not len(a):
        return a.new_zeros(0)
    return _each(structural_similarity_index_measure(a, b, data_range=1.0, reduction="none"), len(a))


def multiscale_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity at five resolutions of each pair of images (MS-SSIM).

    Args:
        a: images in [-1, 1], (B, C, H, W), at least :data:`MULTISCALE_LEAST` pixels high and wide.
        b: images of the same shape.

    Returns:
        Similarity in [0, 1], 1 for identical images, (B,) float32.

    Raises:
        GridcodeError: The shapes differ, are not (B, C, H, W), or are too small to be halved four times.

    Reference: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003.

    >>> images = torch.linspace(-1, 1, 176 * 176).reshape(1, 1, 176, 176)
    >>> multiscale_ssim(images, images)
    tensor([1.])
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as measure

    a, b = _large_enough(a, b, MULTISCALE_LEAST, what="multiscale_ssim", needs="five resolutions", instead="ssim")
    if not len(a):
        return a.new_zeros(0)
    return _each(measure(a, b, data_range=1.0, reduction="none", normalize="relu"), len(a))


@dataclass(frozen=True)
class ImageScores:
    """Means over a set of image pairs.

    Attributes:
        psnr: Mean of the images' PSNR in decibels.
        ssim: Mean of the images' SSIM.
        count: Number of pairs seen.
    """

    psnr: float
    ssim: float
    count: int


class Means:
    """Means of several figures over images, seen batch by batch.

    Args:
        what: What is measured, for errors.
        figures: How many figures an image has.
    """

    def __init__(self, what: str, figures: int) -> None:
        self._what = what
        self._sums = [0.0] * figures
        self._count = 0

    def add(self, sums: Sequence[float], count: int) -> None:
        """Add the figures' sums over ``count`` images."""
        self._sums = [old + new for old, new in zip(self._sums, sums, strict=True)]
        self._count += count

    def merge(self, other: Self) -> None:
        """Add everything that ``other`` has seen, for instance on another process."""
        self.add(other._sums, other._count)

    def means(self) -> tuple[list[float], int]:
        """The means so far, and the number of images.

        Raises:
            GridcodeError: No image was seen.
        """
        if not self._count:
            raise GridcodeError(f"{self._what}: no image was seen; update() it with at least one pair")
        return [total / self._count for total in self._sums], self._count


@final
class ImageQuality(Means):
    """PSNR and SSIM of a set, seen batch by batch.

    >>> quality = ImageQuality()
    >>> quality.update(torch.zeros(2, 3, 16, 16), torch.full((2, 3, 16, 16), 0.2))
    >>> scores = quality.compute()
    >>> round(scores.psnr, 3), scores.count
    (20.0, 2)
    """

    def __init__(self) -> None:
        super().__init__("image quality", 2)

    def update(self, a: Tensor, b: Tensor) -> None:
        """Add pairs of images.

        Args:
            a: images in [-1, 1], (B, C, H, W), at least 6 pixels high and wide.
            b: images of the same shape.
        """
        self.add([math.fsum(figure.tolist()) for figure in (psnr(a, b), ssim(a, b))], len(a))

    def compute(self) -> ImageScores:
        """The means so far.

        Raises:
            GridcodeError: No image was seen.
        """
        (signal, structure), count = self.means()
        return ImageScores(signal, structure, count)


def _unit_range(a: Tensor, b: Tensor, *, what: str) -> tuple[Tensor, Tensor]:
    """Check two batches of images in [-1, 1] and map them to [0, 1], clamped, in float32."""
    if a.shape != b.shape or a.ndim != 4:
        raise GridcodeError(
            f"{what}: needs two batches of one shape (B, C, H, W), saw {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not (a.is_floating_point() and b.is_floating_point()):
        raise GridcodeError(f"{what}: needs float images in [-1, 1], saw {a.dtype} and {b.dtype}; map uint8 first")
    return ((a.float() + 1) / 2).clamp(0, 1), ((b.float() + 1) / 2).clamp(0, 1)


def _large_enough(a: Tensor, b: Tensor, least: int, *, what: str, needs: str, instead: str) -> tuple[Tensor, Tensor]:
    """The same, of images that are not smaller than ``least`` pixels per side."""
    a, b = _unit_range(a, b, what=what)
    if min(a.shape[-2:]) < least:
        raise GridcodeError(
            f"{what}: images of {a.shape[-2]}x{a.shape[-1]} pixels are too small for {needs}; use images of at least "
            f"{least}x{least} or {instead}"
        )
    return a, b


def _each(scores: Tensor | tuple[Tensor, ...], count: int) -> Tensor:
    """The scores of so many images, (count,)."""
    assert isinstance(scores, Tensor)  # a tuple only when full images are asked for
    return scores.reshape(count)
