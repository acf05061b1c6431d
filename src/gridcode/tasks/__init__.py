"""Where tokenizer and prior meet: tokenize, reconstruct, generate."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.tasks.generate import Generator as Generator
    from gridcode.tasks.reconstruct import reconstruct as reconstruct
    from gridcode.tasks.tokenize import StoreOptions as StoreOptions

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"generate": ["Generator"], "reconstruct": ["reconstruct"], "tokenize": ["StoreOptions"]},
)
