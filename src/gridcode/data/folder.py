"""A folder of image files, with or without one subfolder per class.

    photos/a.png, photos/b.jpg                        no labels
    pets/cat/1.png, pets/dog/deep/er/2.png            classes 'cat', 'dog', by the first subfolder

Order is by path, so that the same files give the same numbers on every machine.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

from gridcode.data.image import SUFFIXES, decode_image
from gridcode.data.source import EncodedImages, Example
from gridcode.errors import GridcodeError

_LOG = logging.getLogger(__name__)
_CLUTTER = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})  # what systems leave behind without being asked


class ImageFolder(EncodedImages):
    """The image files of a folder; hidden files are ignored.

    Args:
        path: The folder.
        name: What to record as the origin; the path where not given.
        on_error: At a file that is not an image: stop, or leave it out, log it and list it in ``skipped``.

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

    def __init__(self, path: Path, *, name: str | None = None, on_error: Literal["stop", "skip"] = "stop") -> None:
        if not path.is_dir():
            raise GridcodeError(f"{path}: there is no such folder of images; check data.source")
        self.path = path
        self.name = name or str(path)
        self._on_error = on_error
        self._refused: list[str] = []
        self._keys: list[str] = []
        self._labels: list[int] = []
        top = self._images(path, recursive=False)
        folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not _ignored(entry.name)]
        by_class = {folder.name: self._images(folder, recursive=True) for folder in folders}
        if top and any(by_class.values()):
            filled = next(name for name, keys in by_class.items() if keys)
            raise GridcodeError(
                f"{path}: images lie both at the top ({top[0]}) and in subfolders ({filled}/); "
                "move the former into class folders, or all into one folder"
            )
        if top:
            self._keys = top
        else:
            self._add_classes(by_class)
        if not self._keys:
            raise GridcodeError(f"{path}: no images here ({', '.join(sorted(SUFFIXES))}); check data.source")
        self.skipped: tuple[str, ...] = tuple(self._refused)
        if self.skipped:
            shown = ", ".join(self.skipped[:5]) + (", …" if len(self.skipped) > 5 else "")
            _LOG.warning("%s: left out %d entries that are not images: %s", path, len(self.skipped), shown)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Example:
        image = decode_image(self.encoded(index), name=self.where(index))
        return Example(image=image, label=self._labels[index] if self._labels else None, key=self._keys[index])

    def key(self, index: int) -> str:
        """The file's path inside the folder, with forward slashes."""
        return self._keys[index]

    def encoded(self, index: int) -> Path:
        """The file's path."""
        return self.path / self._keys[index]

    def where(self, index: int) -> str:
        """The file's path, as text."""
        return str(self.encoded(index))

    def _add_classes(self, by_class: dict[str, list[str]]) -> None:
        for name, keys in by_class.items():
            if not keys:
                self._refuse(f"{name}/", "a class folder without images; remove it")
                continue
            self._labels += [len(self.classes)] * len(keys)
            self._keys += keys
            self.classes = (*self.classes, name)

    def _images(self, folder: Path, *, recursive: bool) -> list[str]:
        """Keys of the image files in ``folder``, sorted; other files are refused."""
        keys = []
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if recursive and not _ignored(name)]
            for file in files:
                key = (Path(parent) / file).relative_to(self.path).as_posix()
                if _ignored(file):
                    continue
                if Path(file).suffix.lower() in SUFFIXES:
                    keys.append(key)
                else:
                    self._refuse(key, "not an image by its name; remove it")
        return sorted(keys)

    def _refuse(self, key: str, reason: str) -> None:
        if self._on_error == "stop":
            raise GridcodeError(f"{self.path / key}: {reason}, or set data.on_error=skip")
        self._refused.append(key)


def _ignored(name: str) -> bool:
    return name.startswith(".") or name in _CLUTTER
