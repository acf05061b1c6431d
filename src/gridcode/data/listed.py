"""Pictures named one by one: a single file, or a list of paths, one a line, each with a tab and a class if known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gridcode.data.file_names import printable
from gridcode.data.places import Places, places_of_files, real_path
from gridcode.data.source import EncodedImages, Example
from gridcode.errors import GridcodeError, MissingFileError


class ImageList(EncodedImages):
    """Image files, in the order given.

    Args:
        paths: The files; those that are not absolute lie in ``root``.
        root: The folder that keys are relative to.
        name: What to record as the origin.
        labels: The class name of each file, or nothing.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: A file is not there.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        root: Path,
        name: str,
        labels: Sequence[str] = (),
        max_pixels: int | None = None,
    ) -> None:
        self.name = printable(name)
        self.max_pixels = max_pixels
        self.classes = tuple(sorted(set(labels)))
        self._paths = tuple(root / path for path in paths)
        self._keys = tuple(printable(os.path.relpath(path, root).replace(os.sep, "/")) for path in self._paths)
        self._labels = tuple(self.classes.index(label) for label in labels)
        for path in self._paths:
            if not path.is_file():
                raise MissingFileError(f"{self.name}: there is no file {printable(str(path))}; correct the list")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Example:
        label = self._labels[index] if self._labels else None
        return Example(image=self.decoded(index), label=label, key=self._keys[index])

    def key(self, index: int) -> str:
        """The file's path relative to the list, as :func:`printable` writes it."""
        return self._keys[index]

    def encoded(self, index: int) -> Path:
        """The file's path."""
        return self._paths[index]

    @property
    def places(self) -> Places:
        """Where the files lie, behind links."""
        return places_of_files(self._paths)

    def where(self, index: int) -> str:
        """The file's path, as text."""
        return printable(str(self._paths[index]))


def read_list(path: Path, *, max_pixels: int | None = None) -> ImageList:
    """The pictures of a list file; paths are relative to it, empty lines are passed over.

    Args:
        path: The list.
        max_pixels: As for :class:`ImageList`.

    Raises:
        GridcodeError: The list is empty, names a picture twice or none, or gives classes to only some.
    """
    text = os.fsdecode(path.read_bytes()).removeprefix("\ufeff")
    rows = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.strip()]
    if not rows:
        raise GridcodeError(f"{path}: the list is empty; write one path a line")
    if len({len(row) for row in rows}) > 1 or len(rows[0]) > 2:
        raise GridcodeError(f"{path}: each line must be a path, or on every line a path, a tab and a class; mend it")
    paths = [path.parent / os.path.expanduser(row[0]) for row in rows]
    folders: dict[str, str] = {}
    listed: set[str] = set()
    for one in paths:
        if (real := real_path(one, folders)) in listed:
            raise GridcodeError(f"{path}: {printable(str(one))} is listed twice, perhaps behind a link; list it once")
        listed.add(real)
    labels = [printable(row[1].strip()) for row in rows] if len(rows[0]) == 2 else []
    return ImageList(paths, root=path.parent, name=str(path), labels=labels, max_pixels=max_pixels)
