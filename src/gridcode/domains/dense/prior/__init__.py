"""Stage II of dense prediction: priors that look at a picture and write the code of its label map."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
