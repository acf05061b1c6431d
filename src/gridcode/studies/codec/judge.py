"""What measures images that came back from files, against the originals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gridcode.features.efficientnet import FEATURES, EfficientNetLite, load_efficientnet_lite
from gridcode.metrics.frechet import GaussianStatistics, frechet_distance
from gridcode.metrics.image import MULTISCALE_LEAST, multiscale_ssim, psnr, ssim
from gridcode.studies.codec.formats import Pixels
from gridcode.studies.study import Values
from gridcode.studies.summary import Column

RATE: Final = "bits_per_pixel"
MEASURES: Final = (
    Column("psnr_db", "PSNR (dB)", 2),
    Column("ssim", "SSIM", 3),
    Column("ms_ssim", "MS-SSIM", 3),
    Column("distance", "distance, lite2", 3),
    Column("places_frechet", "Fréchet distance of places, lite2", 1),
)
Point: TypeAlias = Mapping[str, float]
"""What was measured at a rate."""
Way: TypeAlias = Callable[[Pixels], tuple[int, Pixels]]
"""From an image to the bytes of its file, and to what the file decodes to."""


@dataclass(frozen=True)
class Judge:
    """What measures images against originals.

    Attributes:
        originals: uint8, (H, W, C) each.
        network: EfficientNet-lite2, which takes images at their own size.
        statistics: Of the originals' places: of the network's last features at every 32nd pixel.
    """

    originals: Sequence[Pixels]
    network: EfficientNetLite
    statistics: GaussianStatistics

    @staticmethod
    def of(originals: Sequence[Pixels]) -> Judge:
        """With these originals."""
        network = load_efficientnet_lite("lite2").eval()
        statistics = GaussianStatistics(FEATURES)
        for original in originals:
            statistics.update(places(_tensor(original), network))
        return Judge(originals, network, statistics)

    def point(self, way: Way) -> Values:
        """What is measured of all images, taken one way."""
        bits, figures, statistics = [], list[dict[str, float]](), GaussianStatistics(FEATURES)
        for original in self.originals:
            size, image = way(original)
            bits.append(8 * size / original.shape[0] / original.shape[1])
            figures.append(compared(original, image, self.network))
            statistics.update(places(_tensor(image), self.network))
        keys = [key for key in figures[0] if all(key in found for found in figures)]
        found: Values = {RATE: math.fsum(bits) / len(bits)}
        found |= {key: math.fsum(of[key] for of in figures) / len(figures) for key in keys}
        if statistics.count > 1:
            found["places_frechet"] = frechet_distance(statistics, self.statistics)
        return found


@torch.inference_mode()
def compared(original: Pixels, image: Pixels, network: EfficientNetLite) -> dict[str, float]:
    """What is measured of one image; MS-SSIM and SSIM only where the image is large enough."""
    a, b = (_tensor(pixels) for pixels in (original, image))
    found = {"psnr_db": float(psnr(a, b)), "distance": float(network.distance(a, b))}
    if min(original.shape[:2]) >= 11:
        found["ssim"] = float(ssim(a, b))
    if min(original.shape[:2]) >= MULTISCALE_LEAST:
        found["ms_ssim"] = float(multiscale_ssim(a, b))
    return found


@torch.inference_mode()
def places(image: Tensor, network: EfficientNetLite) -> Tensor:
    """The network's last features at every 32nd pixel of an image (1, C, H, W) in [-1, 1]: (n, 1280)."""
    return network.grid(image)[0].flatten(1).T


def _tensor(pixels: Pixels) -> Tensor:
    """(1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
