"""From continuous latents to integers and back: the quantizers, and how much of a codebook is used."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.quantize.base import Quantized as Quantized
    from gridcode.quantize.base import Quantizer as Quantizer
    from gridcode.quantize.fsq import FSQ as FSQ
    from gridcode.quantize.levels import check_levels as check_levels
    from gridcode.quantize.levels import codebook_size as codebook_size
    from gridcode.quantize.levels import recommended_levels as recommended_levels
    from gridcode.quantize.usage import Usage as Usage
    from gridcode.quantize.usage import UsageMeter as UsageMeter

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Quantized", "Quantizer"],
        "fsq": ["FSQ"],
        "levels": ["check_levels", "codebook_size", "recommended_levels"],
        "usage": ["Usage", "UsageMeter"],
    },
)
