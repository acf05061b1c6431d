from .generate import Generator as Generator
from .reconstruct import reconstruct as reconstruct
from .tokenize import StoreOptions as StoreOptions
