"""Table 2 of the paper at a chosen size: FSQ beside VQ with and without splitting, with and without context."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
