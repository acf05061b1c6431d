"""What measures pictures that came back from files, against the originals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gridcode.features.efficientnet import load_efficientnet_lite
from gridcode.features.extractor import lite_extractor
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.image import MULTISCALE_LEAST, multiscale_ssim, psnr, ssim
from gridcode.studies.codec.config import CodecStudyConfig
from gridcode.studies.codec.formats import Pixels
from gridcode.studies.study import Values
from gridcode.studies.summary import Column

PATCH: Final = 64
"""Side of a patch."""
RATE: Final = "bits_per_pixel"
MEASURES: Final = (
    Column("psnr_db", "PSNR (dB)", 2),
    Column("ssim", "SSIM", 3),
    Column("ms_ssim", "MS-SSIM", 3),
    Column("distance", "distance, lite2", 3),
    Column("patch_frechet", "Fréchet distance of patches, lite0", 1),
)
Point: TypeAlias = Mapping[str, float]
"""What was measured at a rate."""
Way: TypeAlias = Callable[[Pixels], tuple[int, Pixels]]
"""From a picture to the bytes of its file, and to what the file decodes to."""


@dataclass(frozen=True)
class Judge:
    """What measures pictures against originals.

    Attributes:
        originals: uint8, (H, W, C) each.
        places: Of the patches: number of the picture, top and left.
        statistics: Of the originals' patches.
    """

    originals: Sequence[Pixels]
    places: Sequence[tuple[int, int, int]]
    statistics: GaussianStatistics

    @staticmethod
    def of(config: CodecStudyConfig, originals: Sequence[Pixels]) -> Judge:
        """The study's, of these originals."""
        draw = np.random.default_rng(0)
        large = [number for number, picture in enumerate(originals) if min(picture.shape[:2]) >= PATCH]
        places = []
        for turn in range(config.patches if large else 0):
            number = large[turn % len(large)]
            top, left = (int(draw.integers(side - PATCH + 1)) for side in originals[number].shape[:2])
            places.append((number, top, left))
        return Judge(originals, places, statistics_of(originals, places))

    def point(self, way: Way) -> Values:
        """What is measured of all pictures, taken one way."""
        network = load_efficientnet_lite("lite2").eval()
        bits, back, figures = [], [], list[dict[str, float]]()
        for original in self.originals:
            size, picture = way(original)
            bits.append(8 * size / original.shape[0] / original.shape[1])
            back.append(picture)
            figures.append(compared(original, picture, network))
        keys = [key for key in figures[0] if all(key in found for found in figures)]
        found: Values = {RATE: math.fsum(bits) / len(bits)}
        found |= {key: math.fsum(of[key] for of in figures) / len(figures) for key in keys}
        if len(self.places) > 1:
            found["patch_frechet"] = frechet_distance(statistics_of(back, self.places), self.statistics)
        return found


@torch.inference_mode()
def compared(original: Pixels, picture: Pixels, network: torch.nn.Module) -> dict[str, float]:
    """What is measured of one picture; MS-SSIM and SSIM only where the picture is large enough."""
    a, b = (_tensor(pixels) for pixels in (original, picture))
    found = {"psnr_db": float(psnr(a, b)), "distance": float(network.distance(a, b))}  # type: ignore[operator]
    if min(original.shape[:2]) >= 11:
        found["ssim"] = float(ssim(a, b))
    if min(original.shape[:2]) >= MULTISCALE_LEAST:
        found["ms_ssim"] = float(multiscale_ssim(a, b))
    return found


@torch.inference_mode()
def statistics_of(pictures: Sequence[Pixels], places: Sequence[tuple[int, int, int]]) -> GaussianStatistics:
    """Mean and covariance of lite0's features of patches."""
    extractor = lite_extractor("lite0")
    statistics = GaussianStatistics(extractor.dim)
    for start in range(0, len(places), 50):
        part = [
            _tensor(pictures[number][top : top + PATCH, left : left + PATCH])
            for number, top, left in places[start : start + 50]
        ]
        statistics.update(extractor(torch.cat([patch.expand(-1, 3, -1, -1) for patch in part])).vectors)
    return statistics


def _tensor(pixels: Pixels) -> Tensor:
    """(1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
