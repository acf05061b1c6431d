"""From tokens to bytes and back: packed digits, range coding by integer probabilities, and the file around them.

It knows bytes and integers alone, no model: probabilities come from whoever calls it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
