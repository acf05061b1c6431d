from .coded_store import CodedTokens as CodedTokens
from .coded_store import code_split as code_split
from .coded_store import decode_store as decode_store
from .generate import Generator as Generator
from .tokenize import StoreOptions as StoreOptions
