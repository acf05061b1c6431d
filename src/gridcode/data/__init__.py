"""Everything that makes typed batches of images: sources, crops, and the loader."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
