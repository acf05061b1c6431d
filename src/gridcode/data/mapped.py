"""A column of encoded images out of a Parquet file, as a memory-mapped file that all processes share.

Parquet is read a row group at a time, which random access cannot afford; the column in memory would cost every
spawned worker the whole file. So it is unpacked once, into a temporary Arrow file, and mapped: the system keeps the
pages that are in use, once for all processes.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gridcode.errors import FileError, GridcodeError


class MappedColumn:
    """The cells of one column of bytes; a copy in another process maps the same file.

    The temporary file goes with the process's last reference. It lies in Python's temporary folder, which the
    environment variable TMPDIR names.

    Args:
        path: The Parquet file.
        column: A column of bytes, or of structs with a field 'bytes'.

    Raises:
        GridcodeError: The file is damaged, or the temporary folder has no room.
    """

    def __init__(self, path: Path, column: str) -> None:
        self.path = path
        self.column = column
        self._unpack()

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, row: int) -> bytes | None:
        cell = self._cells[row]
        encoded: bytes | None = cell.as_buffer().to_pybytes() if cell.is_valid else None
        return encoded

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "column": self.column, "file": self.file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.file.exists():
            self._map()
        else:  # the process that wrote it has ended
            self._unpack()

    def _unpack(self) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix="gridcode-", suffix=".arrow")
        except OSError as error:
            raise FileError(f"no temporary file can be made ({error}); name a folder with TMPDIR") from None
        self.file = Path(name)
        weakref.finalize(self, _remove, self.file, os.getpid())
        try:
            with os.fdopen(handle, "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
                for cells in cells_of(self.path, self.column):
                    writer.write_batch(pa.record_batch([cells.cast(pa.large_binary())], schema=_SCHEMA))
        except GridcodeError:  # the Parquet file is at fault
            raise
        except OSError as error:
            raise FileError(
                f"{self.path}: its images cannot be unpacked into {self.file.parent} ({error}); free room there, or "
                "name another folder with TMPDIR"
            ) from None
        pa.default_memory_pool().release_unused()  # what reading needed, a row group at a time
        self._map()

    def _map(self) -> None:
        with pa.memory_map(str(self.file)) as mapped, pa.ipc.open_file(mapped) as file:
            self._cells = file.read_all().column(0)


_SCHEMA = pa.schema([("bytes", pa.large_binary())])


def cells_of(path: Path, column: str, *, rows: int = 256) -> Iterator[pa.Array]:
    """The cells of a column of bytes, or of structs with a field 'bytes', some rows at a time.

    Raises:
        GridcodeError: The file is damaged.
    """
    try:
        # One column gains nothing from threads, and a process that will fork is better off without them.
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows, columns=[column], use_threads=False):
                cells = batch.column(0)
                if pa.types.is_dictionary(cells.type):
                    cells = cells.dictionary_decode()
                yield cells.flatten()[cells.type.get_field_index("bytes")] if pa.types.is_struct(cells.type) else cells
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"{path}: the file is damaged ({error}); download or write it again") from None


def _remove(file: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker inherits the mapping, not the file
        file.unlink(missing_ok=True)
