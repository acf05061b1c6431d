"""Images: how they are read, tokenized, measured and shown.

Imports read one way, from left to right::

    architectures, vqgan_config ──> config ──> networks/ ──────────────────────┐
                                      ├──────> adversarial ──> loss ───────────┼──> domain ──> evaluate ──> report
                                      └──────> recipes/        show ───────────┘
    edit (takes a generator)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
