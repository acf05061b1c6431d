"""Figures computed from arrays: image quality, distances between sets, nearest neighbours. Knows no model."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.metrics.frechet import GaussianStatistics as GaussianStatistics
    from gridcode.metrics.frechet import frechet_distance as frechet_distance
    from gridcode.metrics.image import MAX_PSNR as MAX_PSNR
    from gridcode.metrics.image import ImageQuality as ImageQuality
    from gridcode.metrics.image import ImageScores as ImageScores
    from gridcode.metrics.image import psnr as psnr
    from gridcode.metrics.image import ssim as ssim
    from gridcode.metrics.neighbours import Neighbours as Neighbours
    from gridcode.metrics.neighbours import nearest_neighbours as nearest_neighbours

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "frechet": ["GaussianStatistics", "frechet_distance"],
        "image": ["MAX_PSNR", "ImageQuality", "ImageScores", "psnr", "ssim"],
        "neighbours": ["Neighbours", "nearest_neighbours"],
    },
)
