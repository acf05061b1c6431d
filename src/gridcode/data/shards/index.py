"""Where the images of tar files lie: an index that is made once, by one header a member, and gives random access.

The bytes that tell a class are read as well; images are not.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from gridcode.data.file_names import printable
from gridcode.data.mapped import identity_of
from gridcode.data.shards.example import image_of, is_image, label_of
from gridcode.data.shards.tar import BrokenTarError, Group, Member, read_member, tar_groups
from gridcode.errors import FileError, GridcodeError, MissingFileError


class TarIndex:
    """Key, place and class of every image in some tar files.

    Args:
        paths: The files, in order.
        on_error: At what is not an example, and at a file cut short: stop, or leave it out and note it.

    Attributes:
        keys: Each image's key in its file.
        files: (n,) int32, which of the files it is in.
        places: (n, 2) int64, the first byte and the number of bytes.
        labels: Its class, a number or a name; None where nothing tells.
        refused: What was left out, a line each.

    Raises:
        GridcodeError: A file is missing, damaged or cut short, has no images, or a key comes twice.
    """

    def __init__(self, paths: Sequence[Path], on_error: Literal["stop", "skip"]) -> None:
        self._on_error = on_error
        self.refused: list[str] = []
        self.keys: list[str] = []
        self.labels: list[int | str | None] = []
        files: list[int] = []
        places: list[tuple[int, int]] = []
        for number, path in enumerate(paths):
            before = len(files)
            where = printable(str(path))
            with opened(path) as file:
                for group in self._groups(file, where):
                    try:
                        if (image := image_of(group, where)) is None:
                            continue
                        label = label_of(group, partial(read_member, file, where=where), where)
                    except GridcodeError as error:
                        self._refuse(error)
                        continue
                    self.keys.append(group.key)
                    self.labels.append(label)
                    places.append((image.start, image.size))
                    files.append(number)
            if len(files) == before:
                self._refuse(GridcodeError(f"{where}: no images in it; remove it, or set data.on_error=skip"))
        self.files = np.array(files, np.int32)
        self.places = np.array(places, np.int64).reshape(-1, 2)

    def _groups(self, file: BinaryIO, where: str) -> list[Group]:
        """The examples of a shard; the members of one may lie apart."""
        groups: dict[str, Group] = {}
        try:
            for group in tar_groups(file, where):
                known = groups.setdefault(group.key, group)
                if known is group:
                    continue
                if both := known.members.keys() & group.members.keys():
                    name = printable(f"{group.key}.{min(both)}")
                    raise GridcodeError(f"{where}: two members are called '{name}'; keep one of them")
                known.members.update(group.members)
        except FileError as error:
            self._refuse(error)
        return list(groups.values())

    def _refuse(self, error: GridcodeError) -> None:
        if self._on_error == "stop":
            raise error
        self.refused.append(str(error))


def tar_index(paths: Sequence[Path], on_error: Literal["stop", "skip"]) -> TarIndex:
    """The index of some files; one that is in use already, of files that did not change, is shared."""
    for path in paths:
        if not path.is_file():
            raise MissingFileError(f"{printable(str(path))}: there is no such file; check data.source")
    key = (on_error, *((str(path), *identity_of(str(path))) for path in paths))
    if (shared := _in_use.get(key)) is None:
        shared = _in_use[key] = TarIndex(paths, on_error)
    return shared


_in_use: weakref.WeakValueDictionary[tuple[object, ...], TarIndex] = weakref.WeakValueDictionary()


def opened(path: Path) -> BinaryIO:
    """A file, open for reading.

    Raises:
        GridcodeError: It is missing, or cannot be read.
    """
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise MissingFileError(f"{printable(str(path))}: there is no such file; check data.source") from None
    except OSError as error:
        raise FileError(f"{printable(str(path))}: cannot be read ({error.strerror}); check it") from None


def other_members(path: Path, extensions: Sequence[str], seen: set[str]) -> Iterator[tuple[str, str, bytes]]:
    """Key, extension and bytes of the members of some extensions; a file that is cut short gives what it has.

    Args:
        path: The file.
        extensions: Which ones.
        seen: Every extension that is met, but for images' own, is put in here.

    Raises:
        GridcodeError: The file cannot be read.
    """
    where = printable(str(path))
    with opened(path) as file, suppress(BrokenTarError):
        for group in tar_groups(file, where):
            seen |= {extension for extension in group.members if not is_image(extension)}
            for extension in extensions:
                if (member := group.members.get(extension)) is not None and not is_image(extension):
                    yield group.key, extension, read_member(file, member, where)


def read_image(path: Path, member: Member) -> bytes:
    """The bytes of a member of a file.

    Raises:
        GridcodeError: The file is missing or cut short.
    """
    with opened(path) as file:
        return read_member(file, member, printable(str(path)))
