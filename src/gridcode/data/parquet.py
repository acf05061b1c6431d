"""Images in Parquet files, by the convention of Hugging Face data sets.

    image: {bytes, path}    the encoded file; the first such column, whatever its name, or a plain binary column
    label: int              names in the schema's metadata (ClassLabel), or plain numbers; or strings, sorted

The encoded bytes of all rows stay in memory, where forked workers share them; an image is decoded when it is
asked for. Random access straight from the file would decompress a whole row group for every image.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gridcode.data.image import decode_image
from gridcode.data.source import EncodedImages, Example
from gridcode.errors import GridcodeError


class ParquetImages(EncodedImages):
    """The rows of one or several Parquet files.

    Args:
        paths: The files (shards), in order; all of one schema.
        name: What to record as the origin; the first path where not given.
        image_column: Column of the images; found by its type where not given.
        label_column: Column of the labels; 'label', 'labels' or the first ClassLabel where not given.

    Raises:
        GridcodeError: A file is missing or damaged, has no column of images, or has labels beyond the names.

    >>> import tempfile
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> png = BytesIO()
    >>> Image.new("L", (5, 4)).save(png, "png")
    >>> rows = {"image": [{"bytes": png.getvalue(), "path": None}], "label": ["cat"]}
    >>> with tempfile.TemporaryDirectory() as name:
    ...     pq.write_table(pa.table(rows), Path(name) / "a.parquet")
    ...     source = ParquetImages([Path(name) / "a.parquet"])
    >>> source.classes, source[0].image.shape, source[0].key
    (('cat',), (4, 5, 1), 'a.parquet:0')
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        name: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
    ) -> None:
        if not paths:
            raise GridcodeError("no Parquet files were given; check data.source")
        self.paths = tuple(paths)
        self.name = name or str(paths[0])
        schema = _schema(self.paths[0])
        features = _features(schema)
        self._image_column = image_column or _image_column(schema, features, self.paths[0])
        self._label_column = label_column or _label_column(schema, features)
        self._read_images()
        self._labels, self.classes = self._read_labels(features)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Example:
        label = -1 if self._labels is None else int(self._labels[index])
        image = decode_image(self.encoded(index), name=self.where(index))
        return Example(image=image, label=label if label >= 0 else None, key=self.key(index))

    def encoded(self, index: int) -> bytes:
        """The bytes of image file number ``index``, as they are stored."""
        shard, row = self._locate(index)
        cell = self._shards[shard][row]
        if not cell.is_valid:
            column = self._image_column
            raise GridcodeError(f"{self.where(index)}: column '{column}' holds no bytes; embed the image in the file")
        encoded: bytes = cell.as_buffer().to_pybytes()
        return encoded

    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its file and row."""
        shard, row = self._locate(index)
        return f"{self.paths[shard]}, row {row}"

    def key(self, index: int) -> str:
        """The file's name, a colon, and the row in that file."""
        shard, row = self._locate(index)
        return f"{self.paths[shard].name}:{row}"

    def __getstate__(self) -> dict[str, Any]:
        """All but the bytes: a spawned worker reads them from the files again instead of through a pipe."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_shards", "_starts")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read_images()

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def _read_images(self) -> None:
        self._shards: list[pa.ChunkedArray] = []
        self._starts = [0]
        for path in self.paths:
            cells = _read_column(path, self._image_column)
            if pa.types.is_struct(cells.type):
                field = cells.type.get_field_index("bytes")
                kind = cells.type.field(field).type
                cells = pa.chunked_array([chunk.flatten()[field] for chunk in cells.chunks], kind)
            self._shards.append(cells)
            self._starts.append(self._starts[-1] + len(cells))
        if not len(self):
            raise GridcodeError(f"{self.paths[0]}: no rows; check data.source")

    def _read_labels(self, features: dict[str, Any]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        if self._label_column is None:
            return None, ()
        columns = [_read_column(path, self._label_column) for path in self.paths]
        kinds = sorted({str(column.type) for column in columns})
        if len(kinds) > 1:
            seen = f"'{self._label_column}' is {' here and '.join(kinds)} there"
            raise GridcodeError(f"{self.name}: column {seen}; write all shards with one type")
        cells = pa.chunked_array([chunk for column in columns for chunk in column.chunks])
        names = tuple(features.get(self._label_column, {}).get("names", ()))
        return _labels(cells, names, f"{self.paths[0]}, column '{self._label_column}'")


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except FileNotFoundError:
        raise GridcodeError(f"{path}: there is no such file; check data.source") from None
    except (pa.ArrowException, OSError) as error:
        raise GridcodeError(f"{path}: not a readable Parquet file ({error}); download or write it again") from None


def _read_column(path: Path, column: str) -> pa.ChunkedArray:
    if column not in _schema(path).names:
        raise GridcodeError(f"{path}: no column '{column}' among {', '.join(_schema(path).names)}; all shards need it")
    try:
        # One column gains nothing from threads, and a process that will fork is better off without them.
        with pq.ParquetFile(path) as file:
            return file.read(columns=[column], use_threads=False).column(column)
    except (pa.ArrowException, OSError) as error:
        raise GridcodeError(f"{path}: the file is damaged ({error}); download or write it again") from None


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The features that Hugging Face ``datasets`` notes in the schema's metadata, if any."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def _image_column(schema: pa.Schema, features: dict[str, Any], path: Path) -> str:
    for field in schema:
        other = features.get(field.name, {}).get("_type", "Image") != "Image"  # sound has {bytes, path} as well
        encoded = pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        if not other and (encoded or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)):
            return str(field.name)
    raise GridcodeError(
        f"{path}: no column of images {{bytes, path}} among {', '.join(schema.names)}; "
        "write it with Hugging Face datasets, feature Image"
    )


def _label_column(schema: pa.Schema, features: dict[str, Any]) -> str | None:
    named = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    return next((name for name in ("label", "labels", *named) if name in schema.names), None)


def _labels(cells: pa.ChunkedArray, names: tuple[str, ...], where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Label of every row, -1 where it has none, and the class names."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        texts = cells.to_pylist()
        names = tuple(sorted({text for text in texts if text is not None}))
        number = {name: index for index, name in enumerate(names)}
        return np.array([number.get(text, -1) for text in texts], np.int64), names
    if not pa.types.is_integer(cells.type):
        raise GridcodeError(f"{where}: labels must be integers or strings, not {cells.type}; convert the column")
    labels = cells.cast(pa.int64()).fill_null(-1).to_numpy()
    highest = int(labels.max(initial=-1))
    if names and highest >= len(names):
        raise GridcodeError(f"{where}: label {highest}, but only {len(names)} class names; correct the metadata")
    return labels, names or tuple(str(label) for label in range(highest + 1))
