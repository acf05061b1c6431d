"""Networks that only measure: a small classifier trained on the data at hand, and EfficientNet-lite from ImageNet."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
