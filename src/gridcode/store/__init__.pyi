from .manifest import Manifest as Manifest
from .manifest import Shard as Shard
from .merge import merge_stores as merge_stores
from .reader import TokenStore as TokenStore
from .reader import TokenTable as TokenTable
from .writer import StoreWriter as StoreWriter
