"""From continuous latents to integers and back: the quantizers, and how much of a codebook is used."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.quantize.base import Quantized as Quantized
    from gridcode.quantize.base import Quantizer as Quantizer
    from gridcode.quantize.bsq import BSQ as BSQ
    from gridcode.quantize.config import QUANTIZERS as QUANTIZERS
    from gridcode.quantize.config import QuantizerConfig as QuantizerConfig
    from gridcode.quantize.dither import Dither as Dither
    from gridcode.quantize.dropout import quantize_with_dropout as quantize_with_dropout
    from gridcode.quantize.fsq import FSQ as FSQ
    from gridcode.quantize.grouped import GroupedFSQ as GroupedFSQ
    from gridcode.quantize.levels import LevelSet as LevelSet
    from gridcode.quantize.levels import check_levels as check_levels
    from gridcode.quantize.levels import codebook_size as codebook_size
    from gridcode.quantize.levels import level_candidates as level_candidates
    from gridcode.quantize.levels import recommended_levels as recommended_levels
    from gridcode.quantize.lfq import LFQ as LFQ
    from gridcode.quantize.make import make_quantizer as make_quantizer
    from gridcode.quantize.masked import decode_masked as decode_masked
    from gridcode.quantize.masked import quantize_masked as quantize_masked
    from gridcode.quantize.residual import ResidualFSQ as ResidualFSQ
    from gridcode.quantize.usage import Usage as Usage
    from gridcode.quantize.usage import UsageMeter as UsageMeter
    from gridcode.quantize.vq import VQ as VQ

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Quantized", "Quantizer"],
        "bsq": ["BSQ"],
        "config": ["QUANTIZERS", "QuantizerConfig"],
        "dither": ["Dither"],
        "dropout": ["quantize_with_dropout"],
        "fsq": ["FSQ"],
        "grouped": ["GroupedFSQ"],
        "levels": ["LevelSet", "check_levels", "codebook_size", "level_candidates", "recommended_levels"],
        "lfq": ["LFQ"],
        "make": ["make_quantizer"],
        "masked": ["decode_masked", "quantize_masked"],
        "residual": ["ResidualFSQ"],
        "usage": ["Usage", "UsageMeter"],
        "vq.quantizer": ["VQ"],
    },
)
