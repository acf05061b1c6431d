"""Samplers: how a prior fills a masked token grid in a dozen steps; ``fill.py`` says where a new one is added."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
