"""Shards that are read from front to back: what lies behind URLs, and local ones that are not worth an index.

How many images there are is not known, and none can be had by its number. Classes are known where a file names them:
classnames.txt beside tar files, the schema's metadata of Parquet files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from gridcode.data.file_names import printable
from gridcode.data.layout import root_of_alike
from gridcode.data.mapped import parquet_in
from gridcode.data.parquet import columns_of
from gridcode.data.shards.beside import Beside, chosen, texts_of
from gridcode.data.shards.example import image_of, is_image, label_of, tells_class
from gridcode.data.shards.position import StreamPosition
from gridcode.data.shards.remote import ConnectionFailedError, open_anywhere, open_forward, wait_for_another_try
from gridcode.data.shards.tar import BrokenTarError, Group, Member, read_member, tar_groups
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Encoded:
    """An image as a shard holds it.

    Attributes:
        data: The file's bytes.
        label: Position in the classes; None where there are none.
        key: The shard's name, with its folders where several have it, a colon, and the key or the row in it.
        where: What an error calls it.
    """

    data: bytes
    label: int | None
    key: str
    where: str
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What stands beside it, by column."""


@dataclass(frozen=True)
class ImageStream:
    """Images in shards, without a number.

    Attributes:
        shards: Paths or URLs of tar files or of Parquet files, in order.
        name: Where they come from, as recorded in manifests.
        classes: Class names in label order; empty where they are not known.
        notes: What else was understood, a line each.
        on_error: At what cannot be read: stop, or leave it out.
        max_pixels: An image of more is refused; None for Pillow's own limit.
        limit: Images at most, the first ones of every shard.
        columns: What is read beside each image, by name, and of which kind it is.
        position: Where training is in it; checkpoints keep that.

    >>> ImageStream(("a.tar", "b.tar"), "shards").first(100).limit
    100
    """

    shards: tuple[str, ...]
    name: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    on_error: Literal["stop", "skip"] = "stop"
    max_pixels: int | None = None
    limit: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    position: StreamPosition = field(default_factory=StreamPosition, compare=False)

    def first(self, count: int) -> ImageStream:
        """The first images of at most eight shards, ``count`` at most, always the same ones."""
        few = self.shards[:: max(1, len(self.shards) // 8)][: min(8, count)]
        return replace(self, shards=few, limit=count)

    def cuts(self, count: int) -> list[range]:
        """All shards one by one, for nobody knows which ones hold ``count`` images."""
        return [range(place, place + 1) for place in range(len(self.shards))]

    def cut(self, places: range) -> ImageStream:
        """The images of some of the shards, with the keys that they have in this stream."""
        part = replace(self, shards=self.shards[places.start : places.stop])
        part.__dict__["_root"] = self._root
        return part

    @cached_property
    def _root(self) -> str | None:
        return root_of_alike(self.shards)

    def _name_of(self, shard: str) -> str:
        """A shard's name in keys; its folders, too, where shards have the same name."""
        return os.path.relpath(shard, self._root) if self._root else PurePosixPath(shard).name

    def described(self) -> dict[str, Any]:
        """What makes its images the same ones: the names of its shards, and its classes."""
        names = [PurePosixPath(shard).name for shard in self.shards]
        return {"shards": names, "classes": list(self.classes)}

    def __iter__(self) -> Iterator[Encoded | GridcodeError]:
        """All images in order; with ``on_error="skip"`` an error in the place of what cannot be read."""
        left = self.limit
        for number, shard in enumerate(self.shards):
            share = None if left is None else -(-left // (len(self.shards) - number))
            for count, item in enumerate(self.read(shard)):
                if count == share:
                    break
                left = None if left is None else left - 1
                yield item

    def read(self, shard: str, start: int = 0) -> Iterator[Encoded | GridcodeError]:
        """The images of one shard from number ``start`` on, in order.

        Where a connection breaks it is made again, and the images that were given are passed over.

        Raises:
            GridcodeError: The shard cannot be read; with ``on_error="stop"`` also, what is no example in it.
        """
        given, tries = start, 0
        while True:
            items = self._of_parquet(shard) if is_parquet(shard) else self._of_tar(shard)
            try:
                for item in islice(items, given, None):
                    if isinstance(item, GridcodeError) and self.on_error == "stop":
                        raise item
                    given, tries = given + 1, 0
                    yield item
            except ConnectionFailedError as error:
                tries += 1
                wait_for_another_try(error, shard, tries)
            else:
                return

    def _of_tar(self, shard: str) -> Iterator[Encoded | GridcodeError]:
        where, name = printable(shard), self._name_of(shard)
        held: dict[str, bytes] = {}

        def passing(extension: str, member: Member) -> None:
            if is_image(extension) or extension in self.columns or (tells_class(extension) and self.classes):
                held[member.name] = read_member(file, member, where)

        try:
            with open_forward(shard) as file:
                for group in tar_groups(file, where, passing=passing):
                    yield from self._example(group, held, where, name)
                    for member in group.members.values():
                        held.pop(member.name, None)
        except BrokenTarError as error:
            yield error

    def _example(
        self, group: Group, held: dict[str, bytes], where: str, name: str
    ) -> Iterator[Encoded | GridcodeError]:
        try:
            if (image := image_of(group, where)) is None:
                return
            label = label_of(group, lambda member: held[member.name], where) if self.classes else None
            key = printable(f"{name}:{group.key}")
            place = f"{where}, key {printable(group.key)}"
            others = {name: group.members.get(name) for name in self.columns}
            beside = texts_of({name: held[member.name] if member else None for name, member in others.items()})
            yield Encoded(held[image.name], self._number(label, place), key, place, beside)
        except GridcodeError as error:
            yield error

    @cached_property
    def _numbers(self) -> dict[int | str, int]:
        """Classes by name."""
        return {name: number for number, name in enumerate(self.classes)}

    def _number(self, label: int | str | None, where: str) -> int | None:
        if not self.classes or (isinstance(label, int) and label < 0):
            return None
        if label is None:
            if self.on_error == "stop":
                raise GridcodeError(f"{where}: no class, though others have one; add a .cls, or set data.on_error=skip")
            return None
        label = printable(label) if isinstance(label, str) else label
        number = self._numbers.get(label, label)
        if not isinstance(number, int) or number >= len(self.classes):
            raise GridcodeError(f"{where}: label {label!r}, but there are {len(self.classes)} class names; correct it")
        return number

    def _of_parquet(self, shard: str) -> Iterator[Encoded | GridcodeError]:
        name = printable(self._name_of(shard))
        row = 0
        with open_anywhere(shard) as opened, parquet_in(opened, shard) as file:
            found = columns_of(file.schema_arrow, printable(shard))
            label = found.label if self.classes else None
            others = chosen(file.schema_arrow, list(self.columns), found.image, printable(shard))
            columns = dict.fromkeys([found.image, *([label] if label else []), *(column.name for column in others)])
            for batch in file.iter_batches(64, columns=list(columns), use_threads=False):
                cells = batch.column(found.image)
                if pa.types.is_struct(cells.type):
                    cells = cells.flatten()[cells.type.get_field_index("bytes")]
                labels = batch.column(label).to_pylist() if label else [None] * len(cells)
                beside = Beside(pa.table({name: batch.column(name) for name in self.columns}))
                for place, (cell, told) in enumerate(zip(cells, labels, strict=True)):
                    where = f"{printable(shard)}, row {row}"
                    try:
                        if not cell.is_valid:
                            raise GridcodeError(f"{where}: no bytes; embed the image in the file")
                        number = None if told is None else self._number(told, where)
                        yield Encoded(cell.as_buffer().to_pybytes(), number, f"{name}:{row}", where, beside[place])
                    except GridcodeError as error:
                        yield error
                    row += 1


def is_parquet(shard: str) -> bool:
    """Whether a shard is a Parquet file by its name."""
    return shard.partition("?")[0].lower().endswith(".parquet")
