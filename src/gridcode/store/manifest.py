"""The manifest of a token store: what the tokens mean, and which files hold them.

    folder/
      manifest.json          written last, so that a store without one is known to be incomplete
      train-00000.parquet    shards, numbered within each split
      val-00000.parquet

The manifest is a JSON object with ``"format": "gridcode-tokens"``, ``"version": 1`` and the fields of
``Manifest``. A shard has three columns: ``key`` (string, the example's name), ``label`` (int64, null where
there is none) and ``tokens`` (a list of fixed length, the grid's indices row by row, in the smallest of
uint16, int32 and int64 that holds every index), and those that ``columns`` names: captions, say. While a store is being
written, ``manifest.partial.json`` lists the shards that are there; it is replaced after each one, and gone in the end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from gridcode.errors import GridcodeError, MissingFileError
from gridcode.files import from_json, read_json, to_json, write_json

FORMAT = "gridcode-tokens"
VERSION = 1
MANIFEST, PARTIAL = "manifest.json", "manifest.partial.json"
PLAN = "plan.json"
"""What a store is made by that several processes write: see :mod:`gridcode.store.shared`."""

_COLUMN_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
_SPLIT = re.compile(r"[A-Za-z0-9_]+")
_SHARD = re.compile(r"[A-Za-z0-9_]+-[0-9]{5,}\.parquet")


@dataclass(frozen=True)
class Shard:
    """One Parquet file.

    Attributes:
        file: Its name in the store's folder.
        split: The split its rows belong to.
        rows: How many there are.
        sha256: The checksum of the file's bytes, in hexadecimal.
    """

    file: str
    split: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a token store's tokens mean, and where they are.

    Attributes:
        quantizer: The quantizer's spec: its name and settings.
        codebook_size: K; tokens lie in [0, K).
        grid: The token grid's shape, (h, w) for images, (h, w, q) where each place has q tokens; a row has prod(grid).
        tokenizer: The hash of the tokenizer's weights.
        data: Where the examples came from: source, crop policy, size, channels.
        classes: Names of the labels 0, 1, …; empty where there are none.
        shards: The files, in the order they were written.
        version: The format's version.
        columns: Further columns of every shard, by name: 'string', 'int64' or 'float64'; each may have nulls.
        axes: Sides of the grid that are places: 2, or 3 where it is (t, h, w).

    >>> manifest = Manifest({"name": "fsq", "levels": [8, 5]}, 40, (4, 4), "0123456789abcdef", {}, ())
    >>> manifest.tokens_per_example, str(manifest.schema.field("tokens").type.value_type)
    (16, 'uint16')
    """

    quantizer: dict[str, Any]
    codebook_size: int
    grid: tuple[int, ...]
    tokenizer: str
    data: dict[str, Any]
    classes: tuple[str, ...]
    shards: tuple[Shard, ...] = ()
    version: int = VERSION
    columns: dict[str, str] = field(default_factory=dict)
    axes: int = 2

    @property
    def tokens_per_example(self) -> int:
        """N, the product of the grid."""
        return math.prod(self.grid)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows, in the order they were written."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    @property
    def schema(self) -> pa.Schema:
        """The columns of every shard."""
        tokens = pa.list_(pa.field("item", _token_type(self.codebook_size), nullable=False), self.tokens_per_example)
        return pa.schema(
            [
                pa.field("key", pa.string(), nullable=False),
                pa.field("label", pa.int64()),
                pa.field("tokens", tokens, nullable=False),
                *(pa.field(name, _COLUMN_TYPES[kind]) for name, kind in self.columns.items()),
            ]
        )


def make_manifest(
    *,
    quantizer: Mapping[str, Any],
    codebook_size: int,
    grid: Sequence[int],
    tokenizer: str,
    data: Mapping[str, Any],
    classes: Sequence[str],
    columns: Mapping[str, str],
    axes: int = 2,
) -> Manifest:
    """A manifest without shards, its values checked and as JSON will give them back.

    Raises:
        GridcodeError: A value is out of its range or has no JSON.
    """
    try:
        quantizer, data = from_json(to_json([quantizer, data]))
    except (TypeError, ValueError) as error:
        raise GridcodeError(
            f"token store: quantizer or data cannot be written as JSON ({error}); use plain values"
        ) from None
    manifest = Manifest(
        dict(quantizer),
        codebook_size,
        tuple(grid),
        tokenizer,
        dict(data),
        tuple(classes),
        columns=dict(columns),
        axes=axes,
    )
    _check(manifest, "token store")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest as JSON, atomically."""
    fields = asdict(manifest)
    if not manifest.columns:  # as versions of gridcode write and read it that know of none
        del fields["columns"]
    if manifest.axes == Manifest.axes:  # likewise
        del fields["axes"]
    write_json(path, {"format": FORMAT, **fields})


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        GridcodeError: The file is missing, is no manifest, is of a newer version, or a field is wrong.
    """
    fields = read_json(path, "the token store's manifest")
    if fields.pop("format", None) != FORMAT:
        raise GridcodeError(f"{path} is not the manifest of a token store; give the folder of one")
    if fields.get("version") != VERSION:
        raise GridcodeError(
            f"{path} has version {fields.get('version')!r}, this gridcode reads {VERSION}; upgrade gridcode, "
            "or tokenize again"
        )
    try:
        shards = tuple(Shard(**shard) for shard in fields.pop("shards"))
        fields |= {"grid": tuple(fields["grid"]), "classes": tuple(fields["classes"]), "shards": shards}
        manifest = Manifest(**fields)
        _check(manifest, str(path))
    except (TypeError, KeyError, AttributeError) as error:
        raise GridcodeError(f"{path} misses or misnames a field ({error}); tokenize again") from None
    return manifest


def newest_manifest(folder: Path) -> Manifest | None:
    """All shards of a store that are committed, whether its writer has ended, goes on or died; None where none is.

    Raises:
        GridcodeError: A manifest is wrong.
    """
    for name in (PARTIAL, MANIFEST):  # in this order: a writer that ends between two looks has written the latter
        try:
            return read_manifest(folder / name)
        except MissingFileError:
            continue
    return None


def is_store(folder: Path) -> bool:
    """Whether a folder is a token store, complete or begun."""
    for name in (MANIFEST, PARTIAL):
        path = folder / name
        if path.is_file() and read_json(path, "the token store's manifest").get("format") == FORMAT:
            return True
    return False


def shard_name(split: str, number: int) -> str:
    """The file name of a split's shard.

    Raises:
        GridcodeError: The split's name has other characters than letters, digits and _.

    >>> shard_name("train", 3)
    'train-00003.parquet'
    """
    if not _SPLIT.fullmatch(split):
        raise GridcodeError(f"token store: {split!r} is no name for a split; use letters, digits and _")
    return f"{split}-{number:05d}.parquet"


def next_number(shards: Iterable[Shard], split: str) -> int:
    """The number of a split's next shard. Numbers may be left out: a shard that had nothing to hold was not written.

    >>> next_number([Shard("val-00004.parquet", "val", 1, ""), Shard("a-00007.parquet", "a", 1, "")], "val")
    5
    """
    names = (shard.file.removesuffix(".parquet") for shard in shards if shard.split == split)
    return max((int(name.rpartition("-")[2]) + 1 for name in names), default=0)


def shard_files(folder: Path) -> list[Path]:
    """The files in a folder that are named like shards."""
    return sorted(path for path in folder.iterdir() if _SHARD.fullmatch(path.name))


def _token_type(codebook_size: int) -> pa.DataType:
    if codebook_size <= 2**16:
        return pa.uint16()
    return pa.int32() if codebook_size <= 2**31 else pa.int64()


def _check(manifest: Manifest, where: str) -> None:
    """Refuse what a hand or a fault has made impossible."""

    def whole(value: object, most: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most

    if not isinstance(manifest.quantizer, dict) or not isinstance(manifest.data, dict):
        raise GridcodeError(f"{where}: quantizer and data must be objects; tokenize again")
    if not all(isinstance(name, str) for name in manifest.classes):
        raise GridcodeError(f"{where}: classes are {manifest.classes!r}; they must be names")
    if not whole(manifest.codebook_size, 2**63):
        raise GridcodeError(f"{where}: codebook_size is {manifest.codebook_size!r}; it must be from 1 to 2^63")
    if not manifest.grid or not all(whole(side, 2**31 - 1) for side in manifest.grid):
        raise GridcodeError(f"{where}: grid is {manifest.grid!r}; it must be whole numbers above 0, such as (8, 8)")
    if manifest.axes not in (2, 3) or (manifest.axes == 3 and len(manifest.grid) < 3):
        raise GridcodeError(f"{where}: axes are {manifest.axes!r} of grid {manifest.grid!r}; tokenize again")
    levels = manifest.quantizer.get("levels")
    if isinstance(levels, list) and not all(whole(level, 2**63) for level in levels):
        raise GridcodeError(f"{where}: levels are {levels!r}; they must be whole numbers above 0")
    if isinstance(levels, list) and math.prod(levels) != manifest.codebook_size:
        raise GridcodeError(
            f"{where}: levels {levels} make {math.prod(levels)} codes, codebook_size is "
            f"{manifest.codebook_size}; they must agree"
        )
    for name, kind in manifest.columns.items():
        if not isinstance(name, str) or not name or name in ("key", "label", "tokens") or kind not in _COLUMN_TYPES:
            raise GridcodeError(
                f"{where}: a column {name!r} of {kind!r} cannot be kept; take another name than key, label and tokens, "
                f"and one of {', '.join(_COLUMN_TYPES)}"
            )
    if not isinstance(manifest.tokenizer, str) or not manifest.tokenizer:
        raise GridcodeError(f"{where}: tokenizer is {manifest.tokenizer!r}; it must be the hash of its weights")
    for shard in manifest.shards:
        told = all(isinstance(value, str) for value in (shard.file, shard.split, shard.sha256))
        if not told or not _SHARD.fullmatch(shard.file) or not whole(shard.rows, 2**63):
            raise GridcodeError(f"{where}: {shard} is no shard of a token store; tokenize again")
