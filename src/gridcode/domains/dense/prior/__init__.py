"""Stage II of dense prediction: a prior predicts the code of a picture's label map from the picture."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
