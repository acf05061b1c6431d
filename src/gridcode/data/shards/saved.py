"""Data sets of Hugging Face ``datasets`` as ``save_to_disk`` leaves them: Arrow files, mapped and not read.

    folder/state.json, dataset_info.json, data-00000-of-00002.arrow, …      one split
    folder/dataset_dict.json, train/state.json, …, test/…                   several, by the folders' names

The package itself is not needed. What images and labels are called and mean stands in the schema's metadata, as it does
in Parquet files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gridcode.data.file_names import printable
from gridcode.data.parquet import PackedImages, columns_of, labels_of_columns
from gridcode.data.shards.beside import Beside, chosen
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import read_json

_STATE = "state.json"


def is_saved(folder: Path) -> bool:
    """Whether a folder is a split as ``save_to_disk`` leaves it."""
    return (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file()


class SavedImages(PackedImages):
    """The images of a split that ``datasets`` saved.

    Args:
        folder: The split's folder.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: A file is missing or damaged, or there are no images.
    """

    def __init__(self, folder: Path, *, max_pixels: int | None = None) -> None:
        self.name, self.max_pixels = printable(str(folder)), max_pixels
        state = read_json(folder / _STATE, "the saved data set")
        try:
            self.paths = tuple(folder / entry["filename"] for entry in state["_data_files"])
        except (KeyError, TypeError):
            raise GridcodeError(f"{folder / _STATE}: no list of data files; save the data set again") from None
        if state.get("_indices_data_files"):
            raise GridcodeError(f"{self.name}: saved as a selection of rows; save what its flatten_indices() returns")
        self._map()
        found = columns_of(self._table.schema, self.name)
        self._column = found.image
        if not len(self):
            raise GridcodeError(f"{self.name}: no rows; check data.source")
        self._take_cells()
        columns = [self._table.column(found.label)] if found.label else []
        self._labels, self.classes = labels_of_columns(columns, found.classes, self.name)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def encoded(self, index: int) -> bytes:
        """The bytes of image file number ``index``, as they are stored."""
        cell = self._cells[index]
        if not cell.is_valid:
            raise GridcodeError(
                f"{self.where(index)}: column '{self._column}' holds no bytes; embed the images and save it again"
            )
        encoded: bytes = cell.as_buffer().to_pybytes()
        return encoded

    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its folder and row."""
        return f"{self.name}, row {index}"

    def key(self, index: int) -> str:
        """The row."""
        return str(index)

    def beside(self, names: Sequence[str]) -> Beside:
        """Other columns of every row.

        Raises:
            GridcodeError: There is no such column, or it holds bytes.
        """
        chosen(self._table.schema, names, self._column, self.name)
        return Beside.of([self._table.select(names)], self.name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_table", "_cells")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()
        self._take_cells()

    def _map(self) -> None:
        tables = []
        for path in self.paths:
            where = printable(str(path))
            try:
                with pa.memory_map(os.fsencode(path)) as mapped:
                    tables.append(pa.ipc.open_stream(mapped).read_all())
            except FileNotFoundError:
                raise MissingFileError(f"{where}: there is no such file; copy or save the data set again") from None
            except (pa.ArrowException, OSError) as error:
                reason = " ".join(str(error).split())
                raise FileError(f"{where}: not a readable Arrow file ({reason}); save the data set again") from None
        if not tables:
            raise GridcodeError(f"{self.name}: no data files; save the data set again")
        self._table = pa.concat_tables(tables)

    def _take_cells(self) -> None:
        cells = self._table.column(self._column)
        if pa.types.is_struct(cells.type):
            place = cells.type.get_field_index("bytes")
            cells = pa.chunked_array([chunk.flatten()[place] for chunk in cells.chunks])
        self._cells = cells
