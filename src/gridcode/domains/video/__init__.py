"""Video clips: how they are read, tokenized, measured and shown.

Imports read one way, from left to right::

    config ──> data/ ───────────────────┐
     ├───────> networks ────────────────┼──> domain ──> continuation ──> evaluate ──> report
     ├───────> loss, measure ───────────┤
     ├───────> show, files ─────────────┘
     └───────> recipes
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
