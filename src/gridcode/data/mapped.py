"""A column of encoded images out of Parquet files, as a memory-mapped file that all processes share.

Parquet is read a row group at a time, which random access cannot afford; the column in memory would cost every
spawned worker the whole file. So it is unpacked once, into a temporary Arrow file, and mapped: the system keeps the
pages that are in use, once for all processes.

Where open files can be reached by their number (Linux), the temporary file has no name from the beginning, so that
nothing stays of it however the process ends. Elsewhere it is removed with the last reference.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gridcode.data.file_names import printable
from gridcode.errors import FileError, GridcodeError, MissingFileError


class MappedColumn:
    """The cells of one column of bytes of several files; a copy in another process maps the same temporary file.

    The temporary file lies in Python's temporary folder, which the environment variable TMPDIR names.

    Args:
        paths: The Parquet files, in order.
        column: A column of bytes, or of structs with a field 'bytes'.

    Raises:
        GridcodeError: A file is damaged, or the temporary folder has no room.
    """

    def __init__(self, paths: Sequence[Path], column: str) -> None:
        self.paths = tuple(paths)
        self.column = column
        self._unpack()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> bytes | None:
        cell = self._cells[index]
        encoded: bytes | None = cell.as_buffer().to_pybytes() if cell.is_valid else None
        return encoded

    def locate(self, index: int) -> tuple[Path, int]:
        """The file of a cell, and its row there."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        place = bisect_right(self._starts, index) - 1
        return self.paths[place], index - self._starts[place]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_cells"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._map()
        except OSError:  # the process that wrote it has ended, or its files are not for this one to see
            self._unpack()

    def _unpack(self) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix="gridcode-", suffix=".arrow")
        except OSError as error:
            raise FileError(f"no temporary file can be made ({error}); name a folder with TMPDIR") from None
        if os.path.exists(f"/proc/self/fd/{handle}"):
            os.unlink(name)
            self.file = f"/proc/{os.getpid()}/fd/{handle}"
            weakref.finalize(self, os.close, handle)
        else:
            self.file = name
            weakref.finalize(self, _remove, handle, Path(name), os.getpid())
        self._starts = [0]
        try:
            with os.fdopen(handle, "wb", closefd=False) as file:
                with pa.ipc.new_file(file, _SCHEMA) as writer:
                    for path in self.paths:
                        self._starts.append(self._starts[-1])
                        for cells in cells_of(path, self.column):
                            writer.write_batch(pa.record_batch([cells.cast(pa.large_binary())], schema=_SCHEMA))
                            self._starts[-1] += len(cells)
                file.flush()
        except GridcodeError:  # a Parquet file is at fault
            raise
        except OSError as error:
            raise FileError(
                f"{self.paths[0]}: its images cannot be unpacked into {os.path.dirname(name)} ({error}); free room "
                "there, or name another folder with TMPDIR"
            ) from None
        pa.default_memory_pool().release_unused()  # what reading needed, a row group at a time
        self._identity = identity_of(self.file)
        self._map()

    def _map(self) -> None:
        """Map the file, if it is still the one that was written: the number of a file that was closed is given anew."""
        if identity_of(self.file) != self._identity:
            raise OSError(f"{self.file} is another file by now")
        with pa.memory_map(os.fsencode(self.file)) as mapped, pa.ipc.open_file(mapped) as file:
            self._cells = file.read_all().column(0)


def mapped_column(paths: Sequence[Path], column: str) -> MappedColumn:
    """A column as :class:`MappedColumn`; one that is in use already, of files that did not change, is shared."""
    key = (column, *((str(path), *identity_of(str(path))) for path in paths))
    if (shared := _in_use.get(key)) is None:
        shared = _in_use[key] = MappedColumn(paths, column)
    return shared


_in_use: weakref.WeakValueDictionary[tuple[object, ...], MappedColumn] = weakref.WeakValueDictionary()
_SCHEMA = pa.schema([("bytes", pa.large_binary())])


def identity_of(file: str) -> tuple[int, int, int, int]:
    """What tells a file from another one at its path: device, number, size and time of change."""
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def cells_of(path: Path, column: str, *, rows: int = 256) -> Iterator[pa.Array]:
    """The cells of a column of bytes, or of structs with a field 'bytes', some rows at a time.

    Raises:
        GridcodeError: The file is missing or damaged.
    """
    # One column gains nothing from threads, and a process that will fork is better off without them.
    with open_parquet(path) as file:
        for batch in file.iter_batches(rows, columns=[column], use_threads=False):
            cells = batch.column(0)
            if pa.types.is_dictionary(cells.type):
                cells = cells.dictionary_decode()
            yield cells.flatten()[cells.type.get_field_index("bytes")] if pa.types.is_struct(cells.type) else cells


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file of any name, UTF-8 or not; what goes wrong with it in the block, too, is one line.

    Raises:
        GridcodeError: It is missing or damaged.
    """
    try:
        with pa.OSFile(os.fsencode(path)) as opened, parquet_in(opened, str(path)) as file:
            yield file
    except FileNotFoundError:
        raise MissingFileError(f"{printable(str(path))}: there is no such file; check data.source") from None
    except OSError as error:
        if isinstance(error, GridcodeError):
            raise
        raise _unreadable(str(path), error) from None


@contextmanager
def parquet_in(opened: Any, name: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file in an open file, likewise."""
    try:
        with pq.ParquetFile(opened) as file:
            yield file
    except pa.ArrowException as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> FileError:
    reason = " ".join(str(error).split())
    return FileError(f"{printable(name)}: not a readable Parquet file ({reason}); download or write it again")


def _remove(handle: int, file: Path, owner: int) -> None:
    os.close(handle)
    if os.getpid() == owner:  # a forked worker inherits the mapping, not the file
        file.unlink(missing_ok=True)
