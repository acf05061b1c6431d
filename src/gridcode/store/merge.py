"""Several token stores as one: shards are copied as they are, and a manifest lists them all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from gridcode.errors import GridcodeError
from gridcode.files import folder_atomic, write_atomic
from gridcode.store.manifest import MANIFEST, Manifest, Shard, shard_name, write_manifest
from gridcode.store.reader import TokenStore

_WHERE: Final = frozenset(
    {"source", "val_source", "val_fraction", "dataset", "train_count", "val_count", "seed", "workers", "on_error"}
    | {"max_pixels", "stream", "shuffle_buffer"}
)
"""What a store's data may differ in: where the examples came from, not how they were cut and encoded."""


def merge_stores(folders: Sequence[str | Path], out: str | Path) -> TokenStore:
    """Write a store of all shards of several stores.

    Args:
        folders: Complete stores of one tokenizer, grid and list of classes; their splits of one name are joined in this
            order.
        out: A new folder.

    Returns:
        The merged store, opened. It says of its data what the first store says.

    Raises:
        GridcodeError: There are none, they do not fit together, two examples of a split have one key, or ``out`` is
            there already.
    """
    if not folders:
        raise GridcodeError("merge_stores: no stores were given; give the folders of some")
    out = Path(out)
    if out.exists():
        raise GridcodeError(f"token store: {out} is there already; choose another folder")
    stores = [TokenStore.open(folder) for folder in folders]
    first = stores[0].manifest
    for store in stores[1:]:
        if (differs := _difference(first, store.manifest)) is not None:
            raise GridcodeError(
                f"token store: {store.folder} has another {differs} than {stores[0].folder}; merge stores of one "
                "tokenizer and one way of reading"
            )
    _check_keys(stores)
    counts: Counter[str] = Counter()
    shards: list[Shard] = []
    with folder_atomic(out) as temporary:
        for store in stores:
            for shard in store.manifest.shards:
                name = shard_name(shard.split, counts[shard.split])
                counts[shard.split] += 1
                write_atomic(temporary / name, partial(shutil.copyfile, store.folder / shard.file))
                shards.append(replace(shard, file=name))
        write_manifest(temporary / MANIFEST, replace(first, shards=tuple(shards)))
    return TokenStore.open(out, verify=False)


def _difference(one: Manifest, other: Manifest) -> str | None:
    """What two stores that do not fit together differ in."""
    for name in ("tokenizer", "quantizer", "codebook_size", "grid", "axes", "classes", "columns"):
        if getattr(one, name) != getattr(other, name):
            return name
    mine, theirs = _reading(one.data), _reading(other.data)
    return next((f"data setting '{name}'" for name in mine | theirs if mine.get(name) != theirs.get(name)), None)


def _reading(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in _WHERE}


def _check_keys(stores: Sequence[TokenStore]) -> None:
    """Refuse an example that comes twice in a split; every key of a split is in memory once."""
    for split in dict.fromkeys(split for store in stores for split in store.splits):
        seen: set[str] = set()
        for store in stores:
            for shard in store.manifest.shards:
                if shard.split != split:
                    continue
                for key in pq.read_table(store.folder / shard.file, columns=["key"])["key"].to_pylist():
                    if key in seen:
                        raise GridcodeError(
                            f"token store: '{key}' of {store.folder} comes twice in split '{split}'; leave one out"
                        )
                    seen.add(key)
