"""Vector quantization, the baseline that FSQ is compared with: one quantizer, composed of small parts."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.quantize.vq.distance import Distance as Distance
    from gridcode.quantize.vq.distance import Euclidean as Euclidean
    from gridcode.quantize.vq.distance import UnitNorm as UnitNorm
    from gridcode.quantize.vq.gradient import Gradient as Gradient
    from gridcode.quantize.vq.gradient import RotationTrick as RotationTrick
    from gridcode.quantize.vq.gradient import StraightThrough as StraightThrough
    from gridcode.quantize.vq.quantizer import VQ as VQ
    from gridcode.quantize.vq.revival import EntropyLoss as EntropyLoss
    from gridcode.quantize.vq.revival import Nothing as Nothing
    from gridcode.quantize.vq.revival import RandomRestarts as RandomRestarts
    from gridcode.quantize.vq.revival import Revival as Revival
    from gridcode.quantize.vq.revival import Splitting as Splitting
    from gridcode.quantize.vq.start import KMeans as KMeans
    from gridcode.quantize.vq.start import Normal as Normal
    from gridcode.quantize.vq.start import Start as Start
    from gridcode.quantize.vq.start import Uniform as Uniform
    from gridcode.quantize.vq.update import ByEMA as ByEMA
    from gridcode.quantize.vq.update import ByLoss as ByLoss
    from gridcode.quantize.vq.update import Discounted as Discounted
    from gridcode.quantize.vq.update import Update as Update

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "distance": ["Distance", "Euclidean", "UnitNorm"],
        "gradient": ["Gradient", "RotationTrick", "StraightThrough"],
        "quantizer": ["VQ"],
        "revival": ["EntropyLoss", "Nothing", "RandomRestarts", "Revival", "Splitting"],
        "start": ["KMeans", "Normal", "Start", "Uniform"],
        "update": ["ByEMA", "ByLoss", "Discounted", "Update"],
    },
)
