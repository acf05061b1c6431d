"""Sounds: how they are read, tokenized, measured, shown and heard.

Imports read one way, from left to right::

    architectures ──> config ──> data/ ────────────────┐
     └──> networks/ ─────┼────────────> stream ────────┼──> domain ──> evaluate ──> report, compress
    spectrum ──> networks/, loss, measure ─────────────┤
                         ├──> show ────────────────────┘
                         └──> recipes
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
