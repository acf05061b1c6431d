"""gridcode: discrete tokenizers without a learned codebook, and the generative models on top.

    images -> Tokenizer (encoder, FSQ, decoder) -> token grids -> MaskGIT prior -> new grids -> new images

Reference: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv 2309.15505.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.data.adapter import TorchDataset as TorchDataset
    from gridcode.errors import GridcodeError as GridcodeError
    from gridcode.quantize.base import Quantized as Quantized
    from gridcode.quantize.base import Quantizer as Quantizer
    from gridcode.quantize.fsq import FSQ as FSQ
    from gridcode.quantize.grouped import GroupedFSQ as GroupedFSQ
    from gridcode.quantize.levels import recommended_levels as recommended_levels
    from gridcode.quantize.residual import ResidualFSQ as ResidualFSQ
    from gridcode.quantize.usage import UsageMeter as UsageMeter
    from gridcode.quantize.vq import VQ as VQ
    from gridcode.store.reader import TokenStore as TokenStore
    from gridcode.tasks.generate import Generator as Generator
    from gridcode.tokenizer.labels.model import LabelTokenizer as LabelTokenizer
    from gridcode.tokenizer.model import Tokenizer as Tokenizer

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "data.adapter": ["TorchDataset"],
        "errors": ["GridcodeError"],
        "quantize.base": ["Quantized", "Quantizer"],
        "quantize.fsq": ["FSQ"],
        "quantize.grouped": ["GroupedFSQ"],
        "quantize.levels": ["recommended_levels"],
        "quantize.residual": ["ResidualFSQ"],
        "quantize.usage": ["UsageMeter"],
        "quantize.vq.quantizer": ["VQ"],
        "store.reader": ["TokenStore"],
        "tasks.generate": ["Generator"],
        "tokenizer.labels.model": ["LabelTokenizer"],
        "tokenizer.model": ["Tokenizer"],
    },
)
