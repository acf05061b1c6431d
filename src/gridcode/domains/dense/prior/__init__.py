"""Stage II of dense prediction: a prior predicts the code of an image's label map from the image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
