"""How good are invented colours? Against the true ones, and as a set against other real images.

    pixel errors      MSE and mean |a - b| over R, G, B of images in [-1, 1], and PSNR: one right answer is assumed
    Fréchet distance  features of colourised images against features of *other* real ones, as FID-5k does with
                      5,000 and 5,000: many answers may be right

The reference must not hold the images that were colourised: their layout would match for free. So the distance
here knows the keys of both sets and refuses to compare sets that share one, and :func:`split_reference` makes two
disjoint sets of one.

Reference: Kumar, Weissenborn, Kalchbrenner, "Colorization Transformer", 2021 (FID-5k).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.image import Means, psnr


@dataclass(frozen=True)
class ColourScores:
    """Means over images."""

    mse: float
    """Squared error on [-1, 1], the loss of Stage I."""
    mae: float
    """Absolute error on [-1, 1]; times 127.5 in levels of a byte."""
    psnr: float
    """Decibels."""
    count: int
    """Images seen."""


@final
class ColourErrors(Means):
    """Pixel errors of colourised images, seen batch by batch; counted on the CPU, in float64.

    >>> import torch
    >>> errors = ColourErrors()
    >>> errors.update(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5))
    >>> errors.compute()
    ColourScores(mse=0.25, mae=0.5, psnr=12.04..., count=2)
    """

    def __init__(self) -> None:
        super().__init__("colour errors", 3)

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add images.

        Args:
            predicted: RGB in [-1, 1], (B, 3, H, W); values outside are clamped, as a file would.
            truth: RGB of the same shape.

        Raises:
            GridcodeError: The shapes differ or are not (B, 3, H, W).
        """
        if predicted.shape != truth.shape or truth.ndim != 4 or truth.shape[1] != 3:
            raise GridcodeError(
                f"colour errors: needs two batches (B, 3, H, W), saw {tuple(predicted.shape)} and {tuple(truth.shape)}"
            )
        predicted, truth = predicted.cpu().double(), truth.cpu().double()
        difference = predicted.clamp(-1, 1) - truth.clamp(-1, 1)
        dims = (1, 2, 3)
        rows = (difference.square().mean(dims), difference.abs().mean(dims), psnr(predicted, truth).double())
        self.add([float(row.sum()) for row in rows], len(truth))

    def compute(self) -> ColourScores:
        """The means so far.

        Raises:
            GridcodeError: No image was seen.
        """
        (mse, mae, decibels), count = self.means()
        return ColourScores(mse, mae, decibels, count)


@dataclass(frozen=True)
class ColourDistance:
    """A Fréchet distance with what it was measured on."""

    distance: float
    """Squared Fréchet distance, d^2."""
    features: str
    """The network whose features were compared."""
    generated: int
    """Colourised images."""
    reference: int
    """Real images, none of them among those that were colourised."""


class ColourFrechet:
    """Fréchet distance of colourised images to other real ones, seen batch by batch.

    Args:
        features: Name of the network that makes the features; figures of different networks do not compare.
        dim: Length F of a feature vector.

    >>> import torch
    >>> distance = ColourFrechet("two numbers", 2)
    >>> distance.update_generated(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), ["a", "b"])
    >>> distance.update_reference(torch.tensor([[0.0, 2.0], [2.0, 2.0]]), ["c", "d"])
    >>> found = distance.compute()
    >>> round(found.distance, 3), found.features, found.generated, found.reference
    (1.0, 'two numbers', 2, 2)
    """

    def __init__(self, features: str, dim: int) -> None:
        self.features = features
        self._sets = (GaussianStatistics(dim), GaussianStatistics(dim))
        self._keys: tuple[set[str], set[str]] = (set(), set())

    def update_generated(self, features: Tensor, keys: Iterable[str]) -> None:
        """Add colourised images: features (B, F) and the keys of the images that they were made from."""
        self._update(0, features, keys)

    def update_reference(self, features: Tensor, keys: Iterable[str]) -> None:
        """Add real images: features (B, F) and their keys."""
        self._update(1, features, keys)

    def compute(self) -> ColourDistance:
        """The distance.

        Raises:
            GridcodeError: Either set has fewer than 2 images.
        """
        generated, reference = self._sets
        distance = frechet_distance(generated, reference)
        return ColourDistance(distance, self.features, generated.count, reference.count)

    def _update(self, which: int, features: Tensor, keys: Iterable[str]) -> None:
        keys = list(keys)
        if len(keys) != len(features):
            raise GridcodeError(f"colour distance: {len(features)} feature vectors and {len(keys)} keys; give one each")
        shared = self._keys[1 - which].intersection(keys)
        if shared:
            raise GridcodeError(
                f"colour distance: image '{min(shared)}' is both colourised and in the reference set; "
                "split_reference makes disjoint sets"
            )
        self._sets[which].update(features)
        self._keys[which].update(keys)


def split_reference(keys: Sequence[str], count: int, *, seed: int = 0) -> tuple[list[int], list[int]]:
    """Places of images to colourise and of as many others to compare them with, by a hash of the keys.

    Args:
        keys: Names of the images, each once; their order does not matter to the choice.
        count: Images in each set (5,000 for FID-5k).
        seed: Another seed makes another choice.

    Returns:
        Places to colourise and places of the reference, each sorted, without a common one.

    Raises:
        GridcodeError: There are fewer than ``2 count`` images, or a key occurs twice.

    >>> sorted(sum(split_reference(["a", "b", "c", "d"], 2), []))
    [0, 1, 2, 3]
    """
    if len(set(keys)) != len(keys):
        raise GridcodeError("colour distance: an image's key occurs twice; give each image once")
    if count < 1 or 2 * count > len(keys):
        raise GridcodeError(
            f"colour distance: two disjoint sets of {count} images need {2 * count}, but there are {len(keys)}; "
            "lower the number"
        )
    ranked = sorted(range(len(keys)), key=lambda place: _hash(seed, keys[place]))
    return sorted(ranked[:count]), sorted(ranked[count : 2 * count])


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(errors="surrogateescape"), digest_size=8).digest()
