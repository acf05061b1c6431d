"""Reading a token store: checked on opening, then batch by batch, a whole split at once, or any rows.

A store that is still being written is read by asking for it: what is opened is then a snapshot of what is committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import sha256
from gridcode.store.manifest import MANIFEST, PARTIAL, Manifest, Shard, newest_manifest, read_manifest


@dataclass(frozen=True)
class TokenTable:
    """Examples as rows of tokens.

    Attributes:
        tokens: Indices in [0, K), int64, (n, N), the grid row by row.
        labels: int64, (n,); -1 where there is none.
        keys: n names of the examples.
        columns: n values of each further column of the store; None for null.
    """

    tokens: Tensor
    labels: Tensor
    keys: tuple[str, ...]
    columns: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)


@final
class TokenStore:
    """An opened token store; make one with ``TokenStore.open``.

    >>> import tempfile
    >>> from gridcode.store.writer import StoreWriter
    >>> folder = Path(tempfile.mkdtemp()) / "tokens"
    >>> with StoreWriter(folder, quantizer={"name": "fsq", "levels": [8, 5]}, codebook_size=40, grid=(2, 2),
    ...                  tokenizer="0123456789abcdef", data={}, classes=("cat", "dog")) as writer:
    ...     writer.write("train", torch.tensor([[[0, 1], [2, 39]]]), torch.tensor([1]), ["first"])
    >>> TokenStore.open(folder).load("train")
    TokenTable(tokens=tensor([[ 0,  1,  2, 39]]), labels=tensor([1]), keys=('first',))
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(
        cls, folder: str | Path, *, tokenizer: str | None = None, verify: bool = True, growing: bool = False
    ) -> Self:
        """Open a store and check that it is whole.

        Args:
            folder: Where it is.
            tokenizer: The hash of the weights that must have made the tokens; ``None`` takes any.
            verify: Also compare every shard's checksum, which reads every byte once.
            growing: Take a store that is being written, or was interrupted, as far as it is committed.

        Returns:
            The store.

        Raises:
            GridcodeError: The store is incomplete or damaged, of a newer format, or another tokenizer's.
        """
        folder = Path(folder)
        # In this order: a writer's next shard is there before it is listed, and its partial manifest until it is.
        files, writing = sorted(path.name for path in folder.glob("*.parquet")), (folder / PARTIAL).exists()
        manifest = newest_manifest(folder) if growing else None
        if manifest is None:
            if not (folder / MANIFEST).is_file():
                raise MissingFileError(_what_is_missing(folder))
            manifest = read_manifest(folder / MANIFEST)
        if tokenizer is not None and tokenizer != manifest.tokenizer:
            raise GridcodeError(
                f"token store: {folder} was made by tokenizer {manifest.tokenizer}, not by {tokenizer}; use "
                "that tokenizer, or tokenize again with this one"
            )
        listed = {shard.file for shard in manifest.shards}
        extra = [name for name in files if name not in listed]
        if extra and not writing:
            raise GridcodeError(
                f"token store: {folder} also holds {extra[0]}, which its manifest does not list; move it away"
            )
        for shard in manifest.shards:
            check_shard(folder / shard.file, shard, manifest, verify=verify)
        return cls(folder, manifest)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows."""
        return self.manifest.splits

    def rows(self, split: str) -> int:
        """How many examples a split has.

        Raises:
            GridcodeError: There is no such split.
        """
        return sum(shard.rows for shard in self._shards(split))

    def batches(self, split: str, batch_size: int) -> Iterator[TokenTable]:
        """Read a split in the order it was written, one batch in memory at a time.

        Args:
            split: Its name.
            batch_size: Rows of a batch; the last may have fewer.

        Yields:
            The batches.

        Raises:
            GridcodeError: There is no such split, ``batch_size`` is below 1, or a token lies outside [0, K).
        """
        if batch_size < 1:
            raise GridcodeError(f"token store: batch_size is {batch_size}; it must be 1 or more")
        shards = self._shards(split)
        return (_token_table(table, self.manifest) for table in self._tables(shards, batch_size))

    def take(self, split: str, rows: Sequence[int]) -> TokenTable:
        """Any rows of a split, in the order given; only the row groups that hold them are read.

        Args:
            split: Its name.
            rows: Numbers in [0, rows of the split); repeats are allowed.

        Raises:
            GridcodeError: There is no such split or row.
        """
        shards, wanted = self._shards(split), np.asarray(rows, np.int64).reshape(-1)
        starts = np.cumsum([0, *(shard.rows for shard in shards)])
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= starts[-1]):
            raise GridcodeError(
                f"token store: rows {wanted.min()} to {wanted.max()} of {split!r}, which has {starts[-1]}"
            )
        order = np.argsort(wanted, kind="stable")
        parts = [self.manifest.schema.empty_table()]
        for number, shard in enumerate(shards):
            inside = wanted[order]
            inside = inside[(inside >= starts[number]) & (inside < starts[number + 1])] - starts[number]
            if len(inside):
                parts.append(_rows_of(self.folder / shard.file, inside))
        table = pa.concat_tables(parts).take(pa.array(np.argsort(order, kind="stable")))
        return _token_table(table, self.manifest)

    def find(self, split: str, keys: Sequence[str]) -> list[int]:
        """The rows of examples, by their keys; :meth:`take` reads them. Only the column of keys is read.

        Args:
            split: Its name.
            keys: Of the examples.

        Raises:
            GridcodeError: There is no such split, or no example of a key.
        """
        wanted, found, start = pa.array(list(dict.fromkeys(keys)), pa.string()), dict[str, int](), 0
        for names in self._columns(split, ["key"]):
            places = pc.index_in(names["key"], wanted)
            for row in np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)).tolist():
                found.setdefault(names["key"][row].as_py(), start + row)
            start += names.num_rows
        if (missing := next((key for key in keys if key not in found), None)) is not None:
            raise GridcodeError(
                f"token store: {self.folder} has no example {missing!r} in split {split!r}; check its key"
            )
        return [found[key] for key in keys]

    def keys(self, split: str) -> Iterator[str]:
        """The names of a split's examples, in order; few of them are in memory at a time.

        Raises:
            GridcodeError: There is no such split.
        """
        return (key for batch in self._columns(split, ["key"]) for key in batch["key"].to_pylist())

    def arrays(self, split: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Tokens (n N,), row after row, and labels (n,) of a split, some thousand examples at a time.

        Raises:
            GridcodeError: There is no such split, or a token lies outside [0, K).
        """
        return (
            _arrays(pa.Table.from_batches([batch]), self.manifest)
            for batch in self._columns(split, ["tokens", "label"])
        )

    def load(self, split: str) -> TokenTable:
        """A whole split in memory, 8 N bytes for each example and its key.

        Raises:
            GridcodeError: There is no such split, or a token lies outside [0, K).
        """
        rows = self.rows(split)
        tokens = torch.empty(rows, self.manifest.tokens_per_example, dtype=torch.int64)
        labels = torch.empty(rows, dtype=torch.int64)
        keys: list[str] = []
        columns: dict[str, list[Any]] = {name: [] for name in self.manifest.columns}
        for batch in self.batches(split, 8192):
            here = slice(len(keys), len(keys) + len(batch.keys))
            tokens[here], labels[here] = batch.tokens, batch.labels
            keys.extend(batch.keys)
            for name, values in columns.items():
                values.extend(batch.columns[name])
        return TokenTable(tokens, labels, tuple(keys), {name: tuple(values) for name, values in columns.items()})

    def _shards(self, split: str) -> list[Shard]:
        shards = [shard for shard in self.manifest.shards if shard.split == split]
        if not shards:
            have = ", ".join(self.splits) or "none"
            raise GridcodeError(f"token store: {self.folder} has no split {split!r}; it has: {have}")
        return shards

    def _columns(self, split: str, names: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of a split."""
        for shard in self._shards(split):
            with _opened(self.folder / shard.file) as file:
                yield from file.iter_batches(8192, columns=names)

    def _tables(self, shards: list[Shard], batch_size: int) -> Iterator[pa.Table]:
        """Tables of ``batch_size`` rows across the bounds of shards."""
        waiting: list[pa.RecordBatch] = []
        for shard in shards:
            with _opened(self.folder / shard.file) as file:
                for batch in file.iter_batches(batch_size):
                    waiting.append(batch)
                    if sum(part.num_rows for part in waiting) >= batch_size:
                        table = pa.Table.from_batches(waiting)
                        yield table.slice(0, batch_size)
                        waiting = table.slice(batch_size).to_batches()
        if any(part.num_rows for part in waiting):
            yield pa.Table.from_batches(waiting)


def _what_is_missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"token store: there is no folder {folder}; write one with `gridcode tokenize`"
    if (folder / PARTIAL).exists():
        return f"token store: {folder} is incomplete, its writing was interrupted; tokenize again over it"
    return f"token store: {folder} has no {MANIFEST}; give a folder that `gridcode tokenize` wrote"


def check_shard(path: Path, shard: Shard, manifest: Manifest, *, verify: bool) -> None:
    """Compare a shard's columns and rows, and with ``verify`` its bytes, with what the manifest says.

    Raises:
        GridcodeError: It is missing or damaged, or they differ.
    """
    if not path.is_file():
        raise MissingFileError(f"token store: the shard {path} is missing; copy the store again, or tokenize again")
    if verify and sha256(path) != shard.sha256:
        raise FileError(
            f"token store: the shard {path} is damaged, its checksum differs from the manifest's; copy the "
            "store again, or tokenize again"
        )
    with _opened(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if not schema.equals(manifest.schema):
        raise GridcodeError(
            f"token store: the shard {path} has columns {_columns(schema)}, the manifest says "
            f"{_columns(manifest.schema)}; tokenize again"
        )
    if rows != shard.rows:
        raise GridcodeError(f"token store: the shard {path} has {rows} rows, the manifest says {shard.rows}")


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A shard for reading; what goes wrong with it in this block is told in one line."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise FileError(
            f"token store: the shard {path} cannot be read ({reason}); copy the store again, or tokenize again"
        ) from None


def _rows_of(path: Path, rows: NDArray[np.int64]) -> pa.Table:
    """Rows of a shard, sorted, out of the row groups that hold them."""
    with _opened(path) as file:
        starts = np.cumsum([0, *(file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups))])
        groups = np.searchsorted(starts, rows, side="right") - 1
        parts = [
            file.read_row_group(int(group)).take(pa.array(rows[groups == group] - starts[group]))
            for group in np.unique(groups)
        ]
    return pa.concat_tables(parts)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _arrays(table: pa.Table, manifest: Manifest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Arrow's columns of tokens, flat, and labels, every one checked."""
    flat = table["tokens"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    labels = table["label"].fill_null(-1).to_numpy().astype(np.int64)
    for values, low, end, what in (
        (flat, 0, manifest.codebook_size, "token"),
        (labels, -1, len(manifest.classes), "label"),
    ):
        wrong = values[(values < low) | (values >= end)]
        if len(wrong):
            raise GridcodeError(
                f"token store: saw the {what} {wrong[0]}, but they lie in [{low}, {end}); the store is "
                "damaged, tokenize again"
            )
    return flat, labels


def _token_table(table: pa.Table, manifest: Manifest) -> TokenTable:
    """Arrow's columns as tensors, with every token and label checked."""
    flat, labels = _arrays(table, manifest)
    return TokenTable(
        tokens=torch.from_numpy(flat.reshape(table.num_rows, manifest.tokens_per_example)),
        labels=torch.from_numpy(labels),
        keys=tuple(table["key"].to_pylist()),
        columns={name: tuple(table[name].to_pylist()) for name in manifest.columns},
    )
