"""Images in local tar files, each to be had at once by an index of their places.

They are read where they lie, so that order, shuffling, workers, processes and resuming are those of any other source.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridcode.data.file_names import printable
from gridcode.data.layout import root_of_alike
from gridcode.data.parquet import PackedImages, labels_of_columns
from gridcode.data.shards.beside import Beside, check_found
from gridcode.data.shards.example import CLASS_NAMES, class_names
from gridcode.data.shards.index import other_members, read_image, tar_index
from gridcode.data.shards.tar import Member
from gridcode.errors import GridcodeError

_LOG = logging.getLogger(__name__)


class TarImages(PackedImages):
    """The images of one or several tar files, as WebDataset writes them.

    Args:
        paths: The files (shards), in order.
        name: What to record as the origin; the first path where not given.
        on_error: At what is not an example, and at a file cut short: stop, or leave it out, log it and go on.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: A file is missing, damaged or cut short, a key comes twice, or only some images have a class.

    >>> import tempfile, tarfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     Image.new("RGB", (5, 4)).save(folder / "1.png")
    ...     _ = (folder / "1.cls").write_text("0")
    ...     with tarfile.open(folder / "a.tar", "w") as tar:
    ...         for file in ("1.png", "1.cls"):
    ...             tar.add(folder / file, file)
    ...     source = TarImages([folder / "a.tar"])
    ...     source.classes, source[0].label, source[0].key, source[0].image.shape
    (('0',), 0, 'a.tar:1', (4, 5, 3))
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        name: str | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        max_pixels: int | None = None,
    ) -> None:
        if not paths:
            raise GridcodeError("no tar files were given; check data.source")
        self.paths = tuple(paths)
        self.name = printable(name or str(paths[0]))
        self.max_pixels = max_pixels
        self._index = tar_index(self.paths, on_error)
        if not len(self):
            raise GridcodeError(f"{self.name}: no images in {_files(len(paths))}; check data.source")
        self._root = root_of_alike(self.paths)
        unlabelled = self._unlabelled(on_error)
        self._labels, self.classes = self._numbered() if unlabelled < len(self) else (None, ())
        self.notes = self._said(unlabelled if self.classes else 0)

    def __len__(self) -> int:
        return len(self._index.keys)

    def encoded(self, index: int) -> bytes:
        """The bytes of image file number ``index``."""
        start, size = (int(value) for value in self._index.places[index])
        return read_image(self._path(index), Member(self._index.keys[index], start, size))

    def where(self, index: int) -> str:
        """What an error calls image number ``index``: its shard and key."""
        return f"{printable(str(self._path(index)))}, key {printable(self._index.keys[index])}"

    def key(self, index: int) -> str:
        """The shard's name, a colon, and the key; its folders, too, where shards have the same name."""
        path = self._path(index)
        return printable(f"{os.path.relpath(path, self._root) if self._root else path.name}:{self._index.keys[index]}")

    def beside(self, names: Sequence[str]) -> Beside:
        """Other members of every image's key, by extension; the files are read through for them.

        Raises:
            GridcodeError: No key has a member of such an extension.
        """
        columns: dict[str, list[str | None]] = {name: [None] * len(self) for name in names}
        rows = {place: row for row, place in enumerate(zip(self._index.files.tolist(), self._index.keys, strict=True))}
        seen: set[str] = set()
        for number, path in enumerate(self.paths):
            for key, extension, data in other_members(path, names, seen):
                if (row := rows.get((number, key))) is not None:
                    columns[extension][row] = data.decode("utf-8", "replace")
        check_found(names, seen, self.name)
        return Beside(pa.table(columns, pa.schema([(name, pa.string()) for name in names])))

    def _path(self, index: int) -> Path:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return self.paths[int(self._index.files[index])]

    def _unlabelled(self, on_error: Literal["stop", "skip"]) -> int:
        """How many images have no class."""
        labels = self._index.labels
        missing = [index for index, label in enumerate(labels) if label is None]
        if on_error == "stop" and 0 < len(missing) < len(labels):
            labelled = next(index for index, label in enumerate(labels) if label is not None)
            raise GridcodeError(
                f"{self.where(missing[0])}: no class, though key {printable(self._index.keys[labelled])} has one; add "
                "a .cls, or set data.on_error=skip"
            )
        return len(missing)

    def _numbered(self) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        """Label of every image, -1 where it has none, and the class names."""
        labels = self._index.labels
        if any(isinstance(label, str) for label in labels):
            labels = [label if label is None else printable(str(label)) for label in labels]
        folder = self.paths[0].parent
        files = [place / name for place in (folder, folder.parent) for name in CLASS_NAMES]
        file = next((file for file in files if file.is_file()), None)
        names = () if file is None else class_names(file.read_text("utf-8", "replace"), printable(str(file)))
        return labels_of_columns([pa.chunked_array([labels])], names, self.name)

    def _said(self, unlabelled: int) -> tuple[str, ...]:
        said = [f"shards: {len(self):,} images in {_files(len(self.paths))}"] if len(self.paths) > 1 else []
        if unlabelled:
            said.append(f"labels: none for {unlabelled:,} of {len(self):,} images")
        refused = self._index.refused
        if count := len(refused):
            _LOG.warning("%s: left out: %s", self.name, "; ".join(refused[:5]) + ("; …" if count > 5 else ""))
            said.append(f"left out: {count:,} thing{'s' * (count > 1)} in {self.name} that cannot be used")
        return tuple(said)


def _files(count: int) -> str:
    return f"{count:,} tar file{'s' * (count != 1)}"
