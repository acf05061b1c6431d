"""gridcode: discrete tokenizers without a learned codebook, and the generative models on top.

    images -> Tokenizer (encoder, FSQ, decoder) -> token grids -> MaskGIT prior -> new grids -> new images

Reference: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv 2309.15505.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
