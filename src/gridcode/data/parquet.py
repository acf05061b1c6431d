"""Images in Parquet files, by the convention of Hugging Face data sets.

    image: {bytes, path}    the encoded file, or a plain binary column. Of several columns the one that the
                            schema's metadata call an image, else one whose cells can be decoded: 'image' or the
                            like by its name, else the first
    label: int              names in the schema's metadata (ClassLabel), or plain numbers; or bool; or strings, sorted

The encoded bytes are unpacked once and memory-mapped (:mod:`gridcode.data.mapped`); an image is decoded when it is
asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridcode.data.file_names import printable
from gridcode.data.image import decode_image
from gridcode.data.layout import Places, places_of_files, root_of_alike
from gridcode.data.mapped import cells_of, mapped_column, open_parquet
from gridcode.data.shards.beside import Beside, chosen
from gridcode.data.source import EncodedImages, Example
from gridcode.errors import GridcodeError


class PackedImages(EncodedImages):
    """Images in cells or members of several files, each with a class or without.

    Attributes:
        paths: The files (shards), in order.
    """

    paths: tuple[Path, ...]
    _labels: NDArray[np.int64] | None
    """-1 where an image has no class; None where none has one."""

    def __getitem__(self, index: int) -> Example:
        return Example(image=self.decoded(index), label=self.label(index), key=self.key(index))

    def label(self, index: int) -> int | None:
        """The label of image number ``index``; None where it has none."""
        label = -1 if self._labels is None else int(self._labels[index])
        return label if label >= 0 else None

    @property
    def places(self) -> Places:
        """The files, behind links."""
        return places_of_files(self.paths)


class ParquetImages(PackedImages):
    """The rows of one or several Parquet files.

    Args:
        paths: The files (shards), in order; all of one schema.
        name: What to record as the origin; the first path where not given.
        image_column: Column of the images; found by its type where not given.
        label_column: Column of the labels; 'label', 'labels' or the first ClassLabel where not given.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: A file is missing or damaged, has no column of images, or has labels beyond the names.

    >>> import tempfile
    >>> import pyarrow.parquet as pq
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
        max_pixels: int | None = None,
    ) -> None:
        if not paths:
            raise GridcodeError("no Parquet files were given; check data.source")
        self.paths = tuple(paths)
        self.max_pixels = max_pixels
        self.name = printable(name or str(paths[0]))
        schema = parquet_schema(self.paths[0])
        features = _features(schema)
        self._image_column = image_column or _image_column(schema, features, self.paths[0])
        self._label_column = label_column or _label_column(schema, features)
        for path in self.paths:
            _check_column(path, self._image_column)
        self._cells = mapped_column(self.paths, self._image_column)
        if not len(self):
            raise GridcodeError(f"{self.paths[0]}: no rows; check data.source")
        self._root = root_of_alike(self.paths)
        self._labels, self.classes = self._read_labels(features)

    def __len__(self) -> int:
        return len(self._cells)

    def encoded(self, index: int) -> bytes:
        """The bytes of image file number ``index``, as they are stored."""
        encoded = self._cells[index]
        if encoded is None:
            column = self._image_column
            raise GridcodeError(f"{self.where(index)}: column '{column}' holds no bytes; embed the image in the file")
        return encoded

    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its file and row."""
        path, row = self._cells.locate(index)
        return f"{printable(str(path))}, row {row}"

    def key(self, index: int) -> str:
        """The file's name, a colon, and the row in that file; its folders, too, where files have the same name."""
        path, row = self._cells.locate(index)
        return f"{printable(os.path.relpath(path, self._root) if self._root else path.name)}:{row}"

    def beside(self, names: Sequence[str]) -> Beside:
        """Other columns of every row, in memory.

        Raises:
            GridcodeError: There is no such column, or it holds bytes.
        """
        tables = []
        for path in self.paths:
            with open_parquet(path) as file:
                fields = chosen(file.schema_arrow, names, self._image_column, printable(str(path)))
                tables.append(file.read(columns=[field.name for field in fields], use_threads=False).select(names))
        return Beside.of(tables, self.name)

    def _read_labels(self, features: dict[str, Any]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        if self._label_column is None:
            return None, ()
        columns = [_read_labels_of(path, self._label_column) for path in self.paths]
        kinds = {_kind(column.type): str(column.type) for column in columns if not pa.types.is_null(column.type)}
        if len(kinds) > 1:
            seen = f"'{self._label_column}' is {' here and '.join(sorted(kinds.values()))} there"
            raise GridcodeError(f"{self.name}: column {seen}; write all shards with one type")
        names = tuple(features.get(self._label_column, {}).get("names", ()))
        return labels_of_columns(columns, names, f"{self.paths[0]}, column '{self._label_column}'")


def parquet_schema(path: Path) -> pa.Schema:
    """The schema of a Parquet file.

    Raises:
        GridcodeError: It is missing or damaged.
    """
    with open_parquet(path) as file:
        return file.schema_arrow


@dataclass(frozen=True)
class Columns:
    """What the columns of a schema are.

    Attributes:
        image: The column of images.
        label: That of labels, if any.
        classes: Names of the labels 0, 1, …, where the schema's metadata tell.
    """

    image: str
    label: str | None
    classes: tuple[str, ...]


def columns_of(schema: pa.Schema, where: str) -> Columns:
    """What the columns of a schema are, told by types, metadata and names alone.

    Raises:
        GridcodeError: There are no images.
    """
    features = _features(schema)
    label = _label_column(schema, features)
    return Columns(
        _image_column(schema, features, where),
        label,
        tuple(features.get(label, {}).get("names", ())) if label else (),
    )


def _check_column(path: Path, column: str) -> None:
    names = parquet_schema(path).names
    if column not in names:
        raise GridcodeError(f"{path}: no column '{column}' among {', '.join(names)}; all shards need it")


def _read_labels_of(path: Path, column: str) -> pa.ChunkedArray:
    _check_column(path, column)
    with open_parquet(path) as file:
        cells = file.read(columns=[column], use_threads=False).column(column)
        return cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The features that Hugging Face ``datasets`` notes in the schema's metadata, if any."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def _image_column(schema: pa.Schema, features: dict[str, Any], path: Path | str) -> str:
    found = [field.name for field in schema if _holds_bytes(field.type)]
    kinds = {name: features.get(name, {}).get("_type") for name in found}
    declared = [name for name in found if kinds[name] == "Image"]
    # Sound has {bytes, path} as well, so that another declared kind is no image.
    found = declared or [name for name in found if kinds[name] in (None, "Value")]
    if not declared and len(found) > 1 and isinstance(path, Path):
        found = [name for name in found if _shows_images(path, name)] or found
    if found:
        return next((name for name in _IMAGE_NAMES if name in found), str(found[0]))
    lists = [field.name for field in schema if pa.types.is_nested(field.type) and not pa.types.is_struct(field.type)]
    raise GridcodeError(
        f"{path}: no column of images {{bytes, path}} among {', '.join(schema.names)}"
        + (f" ('{lists[0]}' holds lists; write one image a row)" if lists else "")
        + "; write it with Hugging Face datasets, feature Image"
    )


_IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "webp")


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _shows_images(path: Path, column: str, *, tries: int = 8) -> bool:
    """Whether one of the first cells that hold anything is an image."""
    filled = (cell.as_py() for cells in cells_of(path, column, rows=tries) for cell in cells if cell.is_valid)
    for encoded in islice(filled, tries):
        try:
            decode_image(encoded, name=column)
        except GridcodeError:
            continue
        return True
    return False


def _label_column(schema: pa.Schema, features: dict[str, Any]) -> str | None:
    named = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    return next((name for name in ("label", "labels", *named) if name in schema.names), None)


def _kind(kind: pa.DataType) -> str:
    """Types that mean the same: integers of any width, texts of any encoding."""
    if pa.types.is_integer(kind):
        return "integers"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "texts"
    return str(kind)


def labels_of_columns(
    columns: Sequence[pa.ChunkedArray], names: tuple[str, ...], where: str
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Label of every row, -1 where it has none, and the class names; None where no row has a label.

    Args:
        columns: Integers, booleans or texts; those of several files, in order.
        names: Of the classes 0, 1, …; none where only the labels themselves tell.
        where: What an error calls them.

    Raises:
        GridcodeError: They are of another type, beyond the names, or too many to be classes.
    """
    kind = next((column.type for column in columns if not pa.types.is_null(column.type)), None)
    if kind is None:
        return None, ()
    if _kind(kind) == "texts":
        texts = [text for column in columns for text in column.to_pylist()]
        names = names or tuple(sorted({text for text in texts if text is not None}))
        number = {name: index for index, name in enumerate(names)}
        unknown = next((text for text in texts if text is not None and text not in number), None)
        if unknown is not None:
            raise GridcodeError(f"{where}: label {unknown!r} is not among the class names; correct the metadata")
        return np.array([number.get(text, -1) for text in texts], np.int64), names
    if pa.types.is_boolean(kind):
        names = names or ("False", "True")
    elif not pa.types.is_integer(kind):
        raise GridcodeError(f"{where}: labels must be integers or strings, not {kind}; convert the column")
    try:
        cells = [column.cast(pa.int64()).fill_null(-1).to_numpy() for column in columns]
    except pa.ArrowException as error:
        raise GridcodeError(f"{where}: labels must fit int64 ({error}); convert the column") from None
    labels = np.concatenate(cells)
    highest = int(labels.max(initial=-1))
    if names and highest >= len(names):
        raise GridcodeError(f"{where}: label {highest}, but only {len(names)} class names; correct the metadata")
    if not names and highest >= max(len(labels), _MANY_CLASSES):
        raise GridcodeError(
            f"{where}: labels reach {highest} in {len(labels)} rows, which are numbers of things, not of classes; "
            "number the classes from 0"
        )
    return labels, names or tuple(str(label) for label in range(highest + 1))


_MANY_CLASSES = 100_000
"""Unnamed classes up to which a label is believed whatever the number of rows; each gets a name of its own."""
