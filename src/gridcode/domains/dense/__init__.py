"""Stage I of dense prediction: label maps to codes and back, with the picture as context."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
