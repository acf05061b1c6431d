"""Figures computed from arrays: image quality, depth, segments, colours, distances between sets. Knows no model."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.metrics.colour import ColourDistance as ColourDistance
    from gridcode.metrics.colour import ColourErrors as ColourErrors
    from gridcode.metrics.colour import ColourFrechet as ColourFrechet
    from gridcode.metrics.colour import ColourScores as ColourScores
    from gridcode.metrics.colour import split_reference as split_reference
    from gridcode.metrics.depth import DepthErrors as DepthErrors
    from gridcode.metrics.depth import DepthScores as DepthScores
    from gridcode.metrics.depth import crop_region as crop_region
    from gridcode.metrics.frechet import GaussianStatistics as GaussianStatistics
    from gridcode.metrics.frechet import frechet_distance as frechet_distance
    from gridcode.metrics.image import MAX_PSNR as MAX_PSNR
    from gridcode.metrics.image import ImageQuality as ImageQuality
    from gridcode.metrics.image import ImageScores as ImageScores
    from gridcode.metrics.image import psnr as psnr
    from gridcode.metrics.image import ssim as ssim
    from gridcode.metrics.neighbours import Neighbours as Neighbours
    from gridcode.metrics.neighbours import nearest_neighbours as nearest_neighbours
    from gridcode.metrics.panoptic import PanopticQuality as PanopticQuality
    from gridcode.metrics.panoptic import PanopticScores as PanopticScores
    from gridcode.metrics.panoptic import Quality as Quality

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "colour": ["ColourDistance", "ColourErrors", "ColourFrechet", "ColourScores", "split_reference"],
        "depth": ["DepthErrors", "DepthScores", "crop_region"],
        "frechet": ["GaussianStatistics", "frechet_distance"],
        "image": ["MAX_PSNR", "ImageQuality", "ImageScores", "psnr", "ssim"],
        "neighbours": ["Neighbours", "nearest_neighbours"],
        "panoptic": ["PanopticQuality", "PanopticScores", "Quality"],
    },
)
