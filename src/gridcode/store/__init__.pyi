from .manifest import Manifest as Manifest
from .manifest import Shard as Shard
from .reader import TokenStore as TokenStore
from .reader import TokenTable as TokenTable
from .writer import StoreWriter as StoreWriter
