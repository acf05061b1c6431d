"""Where files really lie, behind links: so that no picture is read twice, nor in two splits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gridcode.data.file_names import printable
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Places:
    """The real paths of what a source reads, each with the path by which it was found.

    Attributes:
        folders: Folders whose own files are read.
        files: Files that are read out of other folders: linked ones, listed ones, shards.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def shared_with(self, other: Places) -> tuple[str, str] | None:
        """What both read, as either calls it; None where they lie apart.

        >>> Places({"/a/b": "train"}).shared_with(Places(files={"/a/b/0.png": "val/0.png"}))
        ('train/0.png', 'val/0.png')
        """
        for mine, theirs in ((self.folders, other.folders), (self.files, other.files)):
            if both := [path for path in mine if path in theirs]:
                return mine[both[0]], theirs[both[0]]
        for path, name in other.files.items():
            folder, file = os.path.split(path)
            if folder in self.folders:
                return os.path.join(self.folders[folder], file), name
        swapped = None if not self.files else Places(other.folders).shared_with(Places(files=self.files))
        return swapped and (swapped[1], swapped[0])


def check_apart(train: Places, val: Places) -> None:
    """Refuse validation on what is trained on.

    Raises:
        GridcodeError: Both read a folder or a file, by whatever names.
    """
    if both := train.shared_with(val):
        one, other = (printable(name) for name in both)
        seen = f"{one} is" if one == other else f"{one} and {other} are the same, behind links,"
        raise GridcodeError(f"{seen} both for training and for validation; give each split pictures of its own")


def places_of_files(paths: Iterable[Path]) -> Places:
    """The places of files that are named one by one."""
    folders: dict[str, str] = {}
    return Places(files={real_path(path, folders): str(path) for path in paths})


def real_path(file: Path, folders: dict[str, str]) -> str:
    """A file's path without links; ``folders`` keeps those of the folders, which are asked for once each."""
    if file.is_symlink():
        return os.path.realpath(file)
    parent = os.path.dirname(file) or "."
    if parent not in folders:
        folders[parent] = os.path.realpath(parent)
    return os.path.join(folders[parent], file.name)
