"""From continuous latents to integers and back: the quantizers, and how much of a codebook is used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
