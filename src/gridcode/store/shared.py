"""A token store that several processes write at once: each makes whole shards, by their numbers.

The shards are planned first: split by split, which examples each one holds. The folder keeps what the plan rests on
until the store is complete:

    folder/
      plan.json               which examples there are, and how they are cut into shards
      manifest.partial.json   the store, and the shards that are known to be there
      train-00003.parquet     a shard; it takes its name when it is whole

A shard is written under another name and renamed, so that it is there whole or not at all; two processes that make the
same one, because the first was taken for dead, write the same bytes. Whoever plans again finds out which shards are
there and makes the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gridcode.errors import FileError, GridcodeError
from gridcode.files import read_json, sha256, sweep, write_json
from gridcode.store.manifest import (
    MANIFEST,
    PARTIAL,
    PLAN,
    Manifest,
    Shard,
    is_store,
    read_manifest,
    shard_files,
    shard_name,
    write_manifest,
)
from gridcode.store.writer import check_free, save_shard


@dataclass(frozen=True)
class Plan:
    """Which shards a store will have.

    Attributes:
        rows: What cuts the examples into shards, such as how many examples one holds.
        shards: How many there are of each split, in the store's order.
        examples: What makes each split's examples the same ones, as JSON.

    >>> list(Plan(100, {"train": 2, "val": 1}).names())
    [('train', 0), ('train', 1), ('val', 0)]
    """

    rows: int
    shards: Mapping[str, int]
    examples: Mapping[str, Any] = field(default_factory=dict)

    def names(self) -> Iterable[tuple[str, int]]:
        """Split and number of every shard, in order."""
        return ((split, number) for split, count in self.shards.items() for number in range(count))


def begin(folder: Path, manifest: Manifest, plan: Plan, *, overwrite: bool = False) -> dict[tuple[str, int], Shard]:
    """Make a folder ready for shards, or find it begun.

    Args:
        folder: A new or empty folder, one that was begun with the same manifest and plan, or with ``overwrite`` that of
            an old store.
        manifest: The store's, without shards.
        plan: Its shards.
        overwrite: Remove what is there of a store.

    Returns:
        The shards that are there, by split and number.

    Raises:
        GridcodeError: The folder is not free, or was begun otherwise.
    """
    begun = folder / PLAN
    if not overwrite and begun.is_file() and is_store(folder) and not (folder / MANIFEST).exists():
        _check_same(folder, manifest, plan)
        return _found(folder, plan)
    check_free(folder, overwrite or _is_empty_store(folder))
    # What is to go is first no longer listed, and the plan comes last: a kill in here leaves a store without shards.
    write_manifest(folder / PARTIAL, manifest)
    for path in (folder / MANIFEST, begun, *shard_files(folder)):
        path.unlink(missing_ok=True)
    write_json(begun, asdict(plan))
    return {}


def make_shard(
    folder: Path, manifest: Manifest, split: str, number: int, batches: Iterable[pa.RecordBatch]
) -> Shard | None:
    """Write a shard of the batches that :func:`gridcode.store.writer.record_batch` makes; None where they are empty.

    Raises:
        GridcodeError: It cannot be written.
    """
    table = pa.Table.from_batches(batches, schema=manifest.schema)
    return save_shard(folder, split, number, table) if table.num_rows else None


def commit(folder: Path, manifest: Manifest, shards: Mapping[tuple[str, int], Shard], plan: Plan) -> Manifest:
    """List the shards that are there: from then on readers of a growing store see them.

    Returns:
        The manifest, its shards in the plan's order.
    """
    manifest = replace(manifest, shards=tuple(shards[name] for name in plan.names() if name in shards))
    write_manifest(folder / PARTIAL, manifest)
    return manifest


def complete(folder: Path, manifest: Manifest, shards: Mapping[tuple[str, int], Shard], plan: Plan) -> None:
    """Make the store complete; shards of the plan that are missing had nothing to hold."""
    whole = commit(folder, manifest, shards, plan)
    sweep(folder)
    write_manifest(folder / MANIFEST, whole)
    (folder / PLAN).unlink()
    (folder / PARTIAL).unlink()


def _is_empty_store(folder: Path) -> bool:
    """Whether a folder holds a store that was begun and has no shards."""
    return (folder / PARTIAL).is_file() and not (folder / MANIFEST).exists() and not shard_files(folder)


def _check_same(folder: Path, manifest: Manifest, plan: Plan) -> None:
    before, now = asdict(replace(read_manifest(folder / PARTIAL), shards=())), asdict(manifest)
    differs = next((name for name, value in before.items() if value != now[name]), None)
    if differs == "data":
        settings = before["data"].keys() | now["data"].keys()
        differs = ", ".join(sorted(name for name in settings if before["data"].get(name) != now["data"].get(name)))
    planned = read_json(folder / PLAN, "the token store's plan")
    if differs is None and planned.get("examples") != plan.examples:
        differs = "set of examples"
    if differs is None and planned != asdict(plan):
        differs = "size of a shard or of a batch"
    if differs is not None:
        raise FileError(
            f"token store: {folder} was begun with another {differs}; go on with the same settings, choose another "
            "folder, or set overwrite=True to replace it"
        )


def _found(folder: Path, plan: Plan) -> dict[tuple[str, int], Shard]:
    """The plan's shards in a folder: those that are listed, and those of a process that died before it could."""
    listed = {shard.file: shard for shard in read_manifest(folder / PARTIAL).shards}
    found = {}
    for split, number in plan.names():
        path = folder / shard_name(split, number)
        if not path.is_file():
            continue
        shard = listed.get(path.name)
        try:
            rows = pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{path} is damaged ({' '.join(str(error).split())}); remove it and go on") from None
        if shard is not None and shard.rows != rows:
            raise GridcodeError(f"{path} has {rows} rows, {shard.rows} were written; remove it and go on")
        found[split, number] = shard or Shard(path.name, split, rows, sha256(path))
    return found
