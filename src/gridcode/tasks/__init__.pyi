from .generate import Generator as Generator
from .tokenize import StoreOptions as StoreOptions
