"""Images with label maps: depth, panoptic segments, colour. Sources, encodings, files and batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
