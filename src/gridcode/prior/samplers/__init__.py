"""Samplers: how a prior fills a masked token grid in a dozen steps."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.prior.samplers.config import SamplerConfig as SamplerConfig
    from gridcode.prior.samplers.fill import fill_masked as fill_masked
    from gridcode.prior.samplers.loop import Sampler as Sampler
    from gridcode.prior.samplers.loop import TokenModel as TokenModel

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"config": ["SamplerConfig"], "fill": ["fill_masked"], "loop": ["Sampler", "TokenModel"]},
)
