"""Image files: a folder of them, with or without one subfolder per class, or files that are named one by one.

    photos/a.png, photos/b.jpg                        no labels
    pets/cat/1.png, pets/dog/deep/er/2.png            classes 'cat', 'dog', by the first subfolder
    list.txt                                          a path a line, each with a tab and a class if known

Order in a folder is by path, so that the same files give the same numbers on every machine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from gridcode.data.file_names import is_clutter, is_document, is_split, printable, walk
from gridcode.data.image import SUFFIXES
from gridcode.data.layout import Places, places_of_files, real_path
from gridcode.data.source import EncodedImages, Example
from gridcode.errors import GridcodeError, MissingFileError

_LOG = logging.getLogger(__name__)


class ImageFolder(EncodedImages):
    """The image files of a folder; hidden files are ignored, and what links lead to is read once.

    Args:
        path: The folder.
        name: What to record as the origin; the path where not given.
        on_error: At a file that is not an image: stop, or leave it out, log it and list it in ``skipped``.
        max_pixels: An image of more is refused; None for Pillow's own limit.

    Raises:
        GridcodeError: There is no such folder, it holds no images, it mixes images and class folders, or
            (with ``on_error="stop"``) it holds a file that is not an image or a class without images.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as name:
    ...     for label in ("dog", "cat"):
    ...         (Path(name) / label).mkdir()
    ...         Image.new("RGB", (5, 4)).save(Path(name) / label / "1.png")
    ...     folder = ImageFolder(Path(name))
    ...     folder.classes, folder[0].key, folder[0].image.shape
    (('cat', 'dog'), 'cat/1.png', (4, 5, 3))
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        max_pixels: int | None = None,
    ) -> None:
        if not path.is_dir():
            raise MissingFileError(f"{path}: there is no such folder of images; check data.source")
        self.path = path
        self.name = printable(name or str(path))
        self.max_pixels = max_pixels
        self._on_error = on_error
        self._refused: list[str] = []
        self._keys: list[str] = []
        self._labels: list[int] = []
        self._links: dict[str, str] = {}
        self._read_once: list[str] = []
        top, by_class = self._list()
        if top and any(by_class.values()):
            filled = next(name for name, keys in by_class.items() if keys)
            raise GridcodeError(
                f"{self.name}: images lie both at the top ({printable(top[0])}) and in subfolders "
                f"({printable(filled)}/); "
                "move the former into class folders, or all into one folder"
            )
        if top:
            self._keys = top
        else:
            self._add_classes(by_class)
        if not self._keys:
            raise GridcodeError(f"{path}: no images here ({', '.join(sorted(SUFFIXES))}); check data.source")
        if self._read_once:
            count, first = len(self._read_once), self._read_once[0]
            self.notes = (f"read once: {count} link{'s' * (count > 1)} to what is read already ({first})",)
        self.skipped: tuple[str, ...] = tuple(self._refused)
        if self.skipped:
            shown = ", ".join(self.skipped[:5]) + (", …" if len(self.skipped) > 5 else "")
            self.notes = (
                *self.notes,
                f"left out: {len(self.skipped)} entries of {self.path.name} that are not images",
            )
            _LOG.warning("%s: left out %d entries that are not images: %s", path, len(self.skipped), shown)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Example:
        label = self._labels[index] if self._labels else None
        return Example(image=self.decoded(index), label=label, key=self.key(index))

    def key(self, index: int) -> str:
        """The file's path inside the folder, with forward slashes, as :func:`printable` writes it."""
        return printable(self._keys[index])

    def encoded(self, index: int) -> Path:
        """The file's path."""
        return self.path / self._keys[index]

    @property
    def places(self) -> Places:
        """Where the files lie, behind links."""
        links = {real: str(self.path / key) for real, key in self._links.items()}
        parents = {os.path.dirname(self.path / key) for key in {*self._keys}.difference(self._links.values())}
        return Places({os.path.realpath(parent): parent for parent in sorted(parents)}, links)

    def where(self, index: int) -> str:
        """The file's path, as text."""
        return printable(str(self.encoded(index)))

    def _add_classes(self, by_class: dict[str, list[str]]) -> None:
        for name, keys in by_class.items():
            if not keys:
                self._refuse(f"{name}/", "a class folder without images; remove it")
                continue
            self._labels += [len(self.classes)] * len(keys)
            self._keys += keys
            self.classes = (*self.classes, printable(name))

    def _list(self) -> tuple[list[str], dict[str, list[str]]]:
        """Keys of the image files at the top, and of those in each subfolder, sorted; other files are refused."""
        top: list[str] = []
        by_class: dict[str, list[str]] = {}
        folders: dict[str, str] = {}
        linked: list[str] = []
        for visit in walk(self.path):
            inside = visit.path.relative_to(self.path)
            if visit.seen is not None:
                self._pass_over(f"{inside.as_posix()}/", f"{visit.seen.relative_to(self.path).as_posix()}/")
                if len(inside.parts) == 1:
                    del by_class[inside.parts[0]]
                continue
            if inside.parts:
                keys = by_class.setdefault(inside.parts[0], [])
            else:
                keys = top
                by_class = {name: [] for name in visit.folders}
            self._check_classes(inside, visit.folders)
            folders[os.path.realpath(visit.path)] = inside.as_posix()
            for file in visit.files:
                key = (inside / file).as_posix()
                if file in visit.links and not (visit.path / file).exists():
                    self._refuse(key, "a link to a file that is not there; mend or remove it")
                elif Path(file).suffix.lower() in SUFFIXES:
                    (linked if file in visit.links else keys).append(key)
                elif not is_document(file):
                    self._refuse(key, "not an image by its name; remove it")
        for key in self._linked_once(linked, folders):
            (by_class[Path(key).parts[0]] if "/" in key else top).append(key)
        return sorted(top), {name: sorted(keys) for name, keys in by_class.items()}

    def _check_classes(self, inside: Path, folders: Sequence[str]) -> None:
        for name in folders:
            if is_split(name):
                place = printable((inside / name).as_posix())
                raise GridcodeError(
                    f"{printable(str(self.path))}: '{place}' looks like a split, not like a class; "
                    "give the folder of the splits with nothing else in it, put splits above classes (train/cat/), or "
                    "rename it"
                )

    def _linked_once(self, linked: Sequence[str], folders: Mapping[str, str]) -> Iterator[str]:
        """Of files that are links, those that lead to what is not read already: ``folders``, and other links."""
        for key in sorted(linked):
            real = os.path.realpath(self.path / key)
            folder, file = os.path.split(real)
            if real in self._links:
                self._pass_over(key, self._links[real])
            elif folder in folders and Path(file).suffix.lower() in SUFFIXES and not is_clutter(file):
                self._pass_over(key, (Path(folders[folder]) / file).as_posix())
            else:
                self._links[real] = key
                yield key

    def _pass_over(self, key: str, other: str) -> None:
        """Do not read again what a link leads to."""
        if key.split("/")[0] != other.split("/")[0] and "/" in key and "/" in other:
            self._refuse(key, f"the same as '{printable(other)}' behind a link, which is of another class; keep one")
        else:
            self._read_once.append(printable(key))

    def _refuse(self, key: str, reason: str) -> None:
        if self._on_error == "stop":
            raise GridcodeError(f"{printable(str(self.path / key))}: {reason}, or set data.on_error=skip")
        self._refused.append(printable(key))


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
    """The images of a list file; paths are relative to it, empty lines are passed over.

    Args:
        path: The list.
        max_pixels: As for :class:`ImageList`.

    Raises:
        GridcodeError: The list is empty, names an image twice or none, or gives classes to only some.
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
