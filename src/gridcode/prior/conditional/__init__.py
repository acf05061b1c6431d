"""Stage II of dense prediction: priors that look at a picture and write the code of its label map."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.prior.conditional.ar import ConditionalAR as ConditionalAR
    from gridcode.prior.conditional.base import ConditionalPrior as ConditionalPrior
    from gridcode.prior.conditional.config import AS_PROBABLE as AS_PROBABLE
    from gridcode.prior.conditional.config import NEAR_GREEDY as NEAR_GREEDY
    from gridcode.prior.conditional.config import ConditionalConfig as ConditionalConfig
    from gridcode.prior.conditional.config import ConditionalRun as ConditionalRun
    from gridcode.prior.conditional.config import ImageEncoderConfig as ImageEncoderConfig
    from gridcode.prior.conditional.make import load_conditional_prior as load_conditional_prior
    from gridcode.prior.conditional.make import make_conditional_prior as make_conditional_prior
    from gridcode.prior.conditional.maskgit import ConditionalMaskGIT as ConditionalMaskGIT
    from gridcode.prior.conditional.train import train_conditional_prior as train_conditional_prior

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ar": ["ConditionalAR"],
        "base": ["ConditionalPrior"],
        "config": ["AS_PROBABLE", "NEAR_GREEDY", "ConditionalConfig", "ConditionalRun", "ImageEncoderConfig"],
        "make": ["load_conditional_prior", "make_conditional_prior"],
        "maskgit": ["ConditionalMaskGIT"],
        "train": ["train_conditional_prior"],
    },
)
