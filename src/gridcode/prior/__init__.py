"""Stage II: transformers over token grids, their samplers, and their training."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.prior.ar import Autoregressive as Autoregressive
    from gridcode.prior.base import Prior as Prior
    from gridcode.prior.config import AutoregressiveConfig as AutoregressiveConfig
    from gridcode.prior.config import MaskGITConfig as MaskGITConfig
    from gridcode.prior.config import MaskingConfig as MaskingConfig
    from gridcode.prior.config import PriorRun as PriorRun
    from gridcode.prior.distribution import CategoricalTokens as CategoricalTokens
    from gridcode.prior.distribution import TokenDistribution as TokenDistribution
    from gridcode.prior.make import load_prior as load_prior
    from gridcode.prior.make import make_prior as make_prior
    from gridcode.prior.maskgit import MaskGIT as MaskGIT
    from gridcode.prior.noise import Noise as Noise
    from gridcode.prior.samplers.config import SamplerConfig as SamplerConfig
    from gridcode.prior.samplers.fill import fill_masked as fill_masked
    from gridcode.prior.space import TokenSpace as TokenSpace
    from gridcode.prior.train import train_prior as train_prior

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ar": ["Autoregressive"],
        "base": ["Prior"],
        "config": ["AutoregressiveConfig", "MaskGITConfig", "MaskingConfig", "PriorRun"],
        "distribution": ["CategoricalTokens", "TokenDistribution"],
        "make": ["load_prior", "make_prior"],
        "maskgit": ["MaskGIT"],
        "noise": ["Noise"],
        "samplers": ["SamplerConfig", "fill_masked"],
        "space": ["TokenSpace"],
        "train": ["train_prior"],
    },
)
