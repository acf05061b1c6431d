"""Writing a token store, batch by batch; memory stays at one shard for each split.

Every shard is written whole under a temporary name, hashed, renamed, and only then listed in ``manifest.partial.json``.
The manifest comes last: a process that dies before leaves a folder that readers refuse as incomplete, unless they ask
for what is committed; :meth:`StoreWriter.append` goes on with it. A store has one writer at a time: several write
stores of their own, which :func:`gridcode.store.merge.merge_stores` puts together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import make_folder, sha256, write_atomic
from gridcode.store.manifest import (
    MANIFEST,
    PARTIAL,
    PLAN,
    Manifest,
    Shard,
    is_store,
    make_manifest,
    newest_manifest,
    next_number,
    shard_files,
    shard_name,
    write_manifest,
)
from gridcode.store.reader import check_shard

_ROW_GROUP = 8192


@final
class StoreWriter:
    """Writes a token store; use it in a ``with`` block, whose clean end completes the store.

    Args:
        folder: A new or empty folder, or with ``overwrite`` an old token store.
        quantizer: The quantizer's spec: name, form, levels, eps.
        codebook_size: K; tokens lie in [0, K).
        grid: The token grid's shape, such as (h, w).
        tokenizer: The hash of the tokenizer's weights.
        data: Where the examples come from: source, crop policy, size, channels; JSON values.
        classes: Names of the labels; empty where there are none.
        shard_rows: Rows of a shard; a split's rows wait in memory until there are as many.
        columns: Further columns, by name: 'string', 'int64' or 'float64'.
        axes: Sides of the grid that are places.
        overwrite: Remove an old token store in the folder first; other files are never removed.

    Raises:
        GridcodeError: A value is out of its range, or (on entering the block) the folder is not free.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "tokens"
    >>> with StoreWriter(folder, quantizer={"name": "fsq", "levels": [8, 5]}, codebook_size=40, grid=(2, 2),
    ...                  tokenizer="0123456789abcdef", data={}, classes=("cat", "dog")) as writer:
    ...     writer.write("train", torch.tensor([[[0, 1], [2, 39]]]), torch.tensor([1]), ["first"])
    >>> sorted(path.name for path in folder.iterdir())
    ['manifest.json', 'train-00000.parquet']
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        quantizer: Mapping[str, Any],
        codebook_size: int,
        grid: Sequence[int],
        tokenizer: str,
        data: Mapping[str, Any],
        classes: Sequence[str],
        columns: Mapping[str, str] | None = None,
        axes: int = Manifest.axes,
        shard_rows: int = 65536,
        overwrite: bool = False,
    ) -> None:
        if shard_rows < 1:
            raise GridcodeError(f"StoreWriter: shard_rows is {shard_rows}; it must be 1 or more")
        self.folder = Path(folder)
        self._manifest = make_manifest(
            quantizer=quantizer,
            codebook_size=codebook_size,
            grid=grid,
            tokenizer=tokenizer,
            data=data,
            classes=classes,
            columns=columns or {},
            axes=axes,
        )
        self._shard_rows = shard_rows
        self._overwrite = overwrite
        self._shards: list[Shard] = []
        self._waiting: dict[str, list[pa.RecordBatch]] = {}
        self._open = False
        self._appends = False

    @classmethod
    def of(cls, folder: str | Path, manifest: Manifest, **settings: Any) -> Self:
        """A writer of a new store that says what a manifest says; settings are those of the class."""
        return cls(
            folder,
            quantizer=manifest.quantizer,
            codebook_size=manifest.codebook_size,
            grid=manifest.grid,
            tokenizer=manifest.tokenizer,
            data=manifest.data,
            classes=manifest.classes,
            columns=manifest.columns,
            axes=manifest.axes,
            **settings,
        )

    @classmethod
    def append(cls, folder: str | Path, *, shard_rows: int = 65536) -> Self:
        """A writer that adds shards to a store, complete or interrupted; ``rows`` says how many are there.

        A complete store stays readable as it was until the end, when its manifest lists the new shards too. Shards that
        no manifest lists, which a process left that died, are removed.

        Args:
            folder: The store.
            shard_rows: Rows of a new shard.

        Raises:
            GridcodeError: There is no store in the folder, or a shard of it is missing or has other rows.
        """
        folder = Path(folder)
        before = newest_manifest(folder)
        if before is None:
            raise MissingFileError(f"token store: there is none in {folder}; write one first")
        if (folder / PLAN).exists() and not (folder / MANIFEST).exists():
            raise FileError(f"token store: {folder} is being made shard by shard; let that end, and append then")
        for shard in before.shards:
            check_shard(folder / shard.file, shard, before, verify=False)
        writer = cls.of(folder, before, shard_rows=shard_rows)
        writer._shards, writer._appends = list(before.shards), True
        return writer

    def __enter__(self) -> Self:
        if not self._appends:
            check_free(self.folder, self._overwrite)
        # What is to go is first no longer listed: a kill in here leaves a store that lists nothing that is gone.
        write_manifest(self.folder / PARTIAL, self.manifest)
        if not self._appends:
            for name in (MANIFEST, PLAN):
                (self.folder / name).unlink(missing_ok=True)
        listed = {shard.file for shard in self._shards}
        for path in shard_files(self.folder):
            if path.name not in listed:
                path.unlink()
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if kind is None:
            for split in self._waiting:
                self._write_shards(split, least=1)
            write_manifest(self.folder / MANIFEST, self.manifest)
            (self.folder / PARTIAL).unlink()

    @property
    def manifest(self) -> Manifest:
        """The manifest with the shards written so far."""
        return dataclasses.replace(self._manifest, shards=tuple(self._shards))

    def rows(self, split: str) -> int:
        """How many rows of a split are committed: written, listed, and there for every reader."""
        return sum(shard.rows for shard in self._shards if shard.split == split)

    def write(
        self,
        split: str,
        tokens: Tensor,
        labels: Tensor,
        keys: Sequence[str],
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Add examples to a split.

        Args:
            split: Its name, of letters, digits and _.
            tokens: Integers in [0, K), (B, *grid).
            labels: Integers, (B,); -1 where there is none.
            keys: B names of the examples.
            columns: B values of each further column; None for null.

        Raises:
            GridcodeError: A shape, a token, a label or a key does not fit the store.
        """
        if not self._open:
            raise GridcodeError("StoreWriter: write was called outside its block; use `with StoreWriter(...)`")
        shard_name(split, 0)
        batch = record_batch(self._manifest, tokens, labels, keys, columns or {})
        if batch.num_rows:
            self._waiting.setdefault(split, []).append(batch)
            self._write_shards(split, least=self._shard_rows)

    def _write_shards(self, split: str, *, least: int) -> None:
        """Write waiting rows of a split as shards of ``shard_rows``, while there are ``least`` of them."""
        rows = sum(batch.num_rows for batch in self._waiting[split])
        while rows >= least:
            table = pa.Table.from_batches(self._waiting[split], schema=self._manifest.schema)
            self._write_shard(split, table.slice(0, self._shard_rows))
            left = table.slice(self._shard_rows)
            self._waiting[split] = left.to_batches()
            rows = left.num_rows

    def _write_shard(self, split: str, table: pa.Table) -> None:
        number = next_number(self._shards, split)
        self._shards.append(save_shard(self.folder, split, number, table))
        write_manifest(self.folder / PARTIAL, self.manifest)


def save_shard(folder: Path, split: str, number: int, table: pa.Table) -> Shard:
    """Write a shard's file, atomically; nothing lists it yet."""
    path = folder / shard_name(split, number)
    write_atomic(
        path, lambda temporary: pq.write_table(table, temporary, compression="zstd", row_group_size=_ROW_GROUP)
    )
    return Shard(path.name, split, table.num_rows, sha256(path))


def check_free(folder: Path, overwrite: bool) -> None:
    """Make the folder; refuse one of other files, or without ``overwrite`` one of a store."""
    if folder.exists() and not folder.is_dir():
        raise FileError(f"token store: {folder} is a file; choose another folder")
    make_folder(folder)
    if not any(folder.iterdir()):
        return
    if not is_store(folder):
        raise FileError(f"token store: {folder} holds other files than a token store; choose another")
    if not overwrite:
        raise FileError(
            f"token store: {folder} already holds one; choose another folder, or set overwrite=True to replace it"
        )


def record_batch(
    manifest: Manifest, tokens: Tensor, labels: Tensor, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]
) -> pa.RecordBatch:
    """Rows of the store's schema from a batch, as :meth:`StoreWriter.write` takes it.

    Raises:
        GridcodeError: A shape, a token, a label or a key does not fit the store.
    """
    rows = len(keys)
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise GridcodeError("token store: keys must be a sequence of strings, one for each example")
    for values, shape, what in ((tokens, (rows, *manifest.grid), "tokens"), (labels, (rows,), "labels")):
        if tuple(values.shape) != shape:
            raise GridcodeError(
                f"token store: {what} have shape {tuple(values.shape)}; {rows} keys and the grid "
                f"{tuple(manifest.grid)} need {shape}"
            )
    wide_tokens = _checked(tokens, 0, manifest.codebook_size, "tokens")
    wide_labels = _checked(labels, -1, len(manifest.classes), "labels")
    schema = manifest.schema
    kind = schema.field("tokens").type
    flat = pa.array(wide_tokens.reshape(-1).numpy()).cast(kind.value_type)
    label = wide_labels.numpy()
    return pa.RecordBatch.from_arrays(
        [
            pa.array(list(keys), pa.string()),
            pa.array(label, mask=label < 0),
            pa.FixedSizeListArray.from_arrays(flat, type=kind),
            *_further(manifest, columns, rows),
        ],
        schema=schema,
    )


def _further(manifest: Manifest, columns: Mapping[str, Sequence[Any]], rows: int) -> Iterator[pa.Array]:
    """The further columns of a batch, in the schema's order."""
    if columns.keys() != manifest.columns.keys():
        given, needed = (", ".join(names) or "none" for names in (columns, manifest.columns))
        raise GridcodeError(f"token store: columns given are {given}, and the store has {needed}; give these")
    for name in manifest.columns:
        values = list(columns[name])
        if len(values) != rows:
            raise GridcodeError(f"token store: column '{name}' has {len(values)} values for {rows} keys; give one each")
        kind = manifest.schema.field(name).type
        try:
            yield pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise GridcodeError(f"token store: column '{name}' is of {kind} ({reason}); convert its values") from None


def _checked(values: Tensor, low: int, end: int, what: str) -> Tensor:
    """Integers in [low, end) as int64 on the CPU."""
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise GridcodeError(f"token store: {what} are {values.dtype}; give integers such as torch.int64")
    values = values.detach().to("cpu", torch.int64)
    if values.numel():
        least, most = (int(bound) for bound in torch.aminmax(values))
        if least < low or most >= end:
            seen = least if least < low else most
            hint = "name more classes or pass -1" if what == "labels" else "leave mask tokens out"
            raise GridcodeError(f"token store: saw {seen} among the {what}, not in [{low}, {end}); {hint}")
    return values
