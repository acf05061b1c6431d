"""Tokens on disk: Parquet shards and a manifest; the writer and the reader know no model."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.store.manifest import Manifest as Manifest
    from gridcode.store.manifest import Shard as Shard
    from gridcode.store.reader import TokenStore as TokenStore
    from gridcode.store.reader import TokenTable as TokenTable
    from gridcode.store.writer import StoreWriter as StoreWriter

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "manifest": ["Manifest", "Shard"],
        "reader": ["TokenStore", "TokenTable"],
        "writer": ["StoreWriter"],
    },
)
