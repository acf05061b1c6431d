"""Tokenizers of other projects, taken over with their weights: diffusers' ``VQModel``, taming-transformers' VQGAN."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.convert.check import Agreement as Agreement
    from gridcode.convert.check import check_conversion as check_conversion
    from gridcode.convert.tokenizer import Conversion as Conversion
    from gridcode.convert.tokenizer import convert_tokenizer as convert_tokenizer

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "check": ["Agreement", "check_conversion"],
        "tokenizer": ["Conversion", "convert_tokenizer"],
    },
)
