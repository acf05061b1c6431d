"""Vector quantization, the baseline that FSQ is compared with: one quantizer, composed of small parts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
