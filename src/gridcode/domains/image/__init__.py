"""Images: how they are read, tokenized, measured and shown.

Imports read one way, from left to right::

    architectures, vqgan_config ──> config ──> networks/ ──> loss ─────┬──> domain
                                      ├──────> show ───────────────────┘
                                      ├──────> scores ──> evaluate ──> report
                                      └──────> recipes/

``edit`` takes a generator, and reads nothing of these.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
