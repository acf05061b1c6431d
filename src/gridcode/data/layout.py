"""What lies in a folder: which of its files or subfolders are which split, told by their names.

root/train*.parquet, root/data/x-val-0….parquet      the split by the file's name
root/train-000.tar, root/train/000.tar, …            tar files likewise, where no images lie beside them
root/CONFIG/train-0….parquet, root/CONFIG/data/…     the same, in the one subfolder that has such files
root/train/0000.parquet, root/val/…                  the split by the folder's name
root/train/, root/Validation/                        images, the split by the folder's name
root/ANY/train/, root/ANY/val/                       the same, in a lone subfolder, however deep
root/train/train/, root/val/val/                     the same, wrapped once more

:class:`Places` says where files really lie, behind links: so that no image is read twice, nor in two splits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from gridcode.data.file_names import is_aside, is_clutter, is_fold, is_split, printable, rest_of, split_of, walk
from gridcode.data.image import SUFFIXES
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Layout:
    """The parts of a folder; no parts where its names tell no splits.

    >>> Layout().train
    ()
    """

    train: tuple[Path, ...] = ()
    """Parquet or tar files, or one folder."""
    val: tuple[Path, ...] = ()
    """The same; empty where a share is to be held out."""
    aside: tuple[str, ...] = ()
    """What is left out, by name."""


def layout_of(path: Path) -> Layout:
    """Tell the splits of a file or folder.

    Args:
        path: What ``data.source`` names.

    Raises:
        GridcodeError: Some names tell a split and others do not, or two folders are one split.
    """
    if not path.is_dir():
        return Layout()
    if shards := shards_of(path) or tar_shards_of(path):
        return _parted(shards, telling_names(path, shards), path)
    if _has_images(path):
        return Layout()
    folders = subfolders(path)
    filled = list(islice((folder for folder in folders if _holds_images(folder)), 2))
    if len(filled) == 1 and split_of(filled[0].name) is None and (inner := layout_of(filled[0])).train:
        return replace(inner, aside=inner.aside + _names([folder for folder in folders if folder != filled[0]]))
    if len(folders) > 1 and all(is_fold(folder.name) for folder in folders):
        names = " and ".join(f"'{printable(folder.name)}'" for folder in folders[:2])
        raise GridcodeError(
            f"{printable(str(path))}: {names} look like folds of one set, not like classes; name one 'val' and put the "
            "others together as 'train'"
        )
    if not any(is_split(folder.name) for folder in folders) and not _alike(folders):
        return Layout()
    layout = _parted(folders, [folder.name for folder in folders], path)
    for part in (layout.train, layout.val):
        if len(part) > 1:
            names = " and ".join(f"'{printable(folder.name)}'" for folder in part[:2])
            raise GridcodeError(f"{printable(str(path))}: folders {names} look like one split; rename or move one")
    train, val = (tuple(_unwrapped(folder) for folder in part) for part in (layout.train, layout.val))
    return replace(layout, train=train, val=val)


def parted(shards: Sequence[Path], place: str) -> Layout:
    """The splits of files that a pattern stands for, by the word in each one's name or else by its folder's name.

    Args:
        shards: The files.
        place: The pattern, for an error.

    Raises:
        GridcodeError: Some names tell a split and others do not.
    """
    folders = {shard.parent.name for shard in shards}
    by_folder = not any(split_of(shard.name) for shard in shards) and all(is_split(name) for name in folders)
    return _parted(shards, [shard.parent.name if by_folder else shard.name for shard in shards], Path(place))


def shards_of(path: Path, suffix: str = ".parquet") -> list[Path]:
    """The Parquet files of a folder, of its subfolder 'data', of its split folders, or of its one configuration."""
    for folder in (path, path / "data"):
        if folder.is_dir() and (found := _files(folder, suffix)):
            return found
    within = {folder: found for folder in subfolders(path) if (found := _shards_below(folder, suffix))}
    splits = [shard for folder, found in within.items() if is_split(folder.name) for shard in found]
    if splits:
        return splits
    if len(within) > 1:
        names = ", ".join(printable(folder.name) for folder in within)
        raise GridcodeError(f"{printable(str(path))}: several data sets lie here ({names}); give one of them")
    if not within and (path / "data").is_dir():
        return shards_of(path / "data", suffix)
    return next(iter(within.values()), [])


def tar_shards_of(path: Path) -> list[Path]:
    """The tar files of a folder, likewise; none where images lie there: they may be packed what is unpacked."""
    return [] if _holds_images(path) else shards_of(path, ".tar")


def root_of_alike(paths: Sequence[str | Path]) -> str | None:
    """The folder that keys name files from, where several have one name; None where their names tell them apart.

    >>> root_of_alike(["x/a/0.tar", "x/b/0.tar"]), root_of_alike(["a/0.tar", "b/0.tar"]), root_of_alike(["a/0.tar"])
    ('x', '.', None)
    """
    folders, names = zip(*(os.path.split(path) for path in paths), strict=True)
    return (os.path.commonpath(folders) or ".") if len(set(names)) < len(names) else None


def telling_names(path: Path, shards: Sequence[Path]) -> list[str]:
    """The name of each file of :func:`shards_of` that may tell its split: its folder's, or its own."""
    by_folder = {shard.parent for shard in shards}
    inside = len(by_folder) > 1 or (by_folder != {path} and is_split(shards[0].parent.name))
    return [shard.parent.name if inside else shard.name for shard in shards]


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, without clutter, sorted."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not is_clutter(entry.name))


def _shards_below(folder: Path, suffix: str) -> list[Path]:
    for inside in (folder, folder / "data"):
        if inside.is_dir() and (found := _files(inside, suffix)):
            return found
    return [shard for part in subfolders(folder) if is_split(part.name) for shard in _files(part, suffix)]


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() == suffix and not is_clutter(entry.name) and entry.is_file()
    )


def _has_images(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES and not is_clutter(entry.name) for entry in folder.iterdir())


def _holds_images(folder: Path) -> bool:
    """Whether there is an image in a folder or below."""
    return any(_has_images(visit.path) for visit in walk(folder))


def _alike(folders: Sequence[Path]) -> bool:
    """Whether two names such as 'x-train', 'x-val' differ in the split alone; 'bullet_train', 'test_tube' do not."""
    told: dict[tuple[str, ...], set[str]] = {}
    for folder in folders:
        if split := split_of(folder.name):
            told.setdefault(rest_of(folder.name), set()).add(split)
    return any(len(splits) > 1 for splits in told.values())


def _unwrapped(folder: Path) -> Path:
    """The folder, or the one of the same split that alone lies in it, as archives are unpacked: train/train."""
    inside = subfolders(folder)
    if len(inside) != 1 or _has_images(folder) or split_of(inside[0].name) != split_of(folder.name):
        return folder
    # A lone class 'bullet train' is no split: it is one by its whole name, or by the same other words as the folder.
    name = inside[0].name
    return inside[0] if is_split(name) or rest_of(name) == rest_of(folder.name) else folder


def _parted(entries: Sequence[Path], names: Sequence[str], path: Path) -> Layout:
    """The entries by the split that each one's name tells."""
    found: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    aside, unknown = [], []
    for entry, name in zip(entries, names, strict=True):
        split = split_of(name)
        if split is not None:
            found[split].append(entry)
        elif is_aside(name) or (entry.is_dir() and not _holds_images(entry)):
            aside.append(entry)
        else:
            unknown.append(entry)
    given = [split for split, paths in found.items() if paths]
    if not given:
        return Layout()
    if unknown:
        split_like = printable(found[given[0]][0].name)
        raise GridcodeError(
            f"{printable(str(path))}: '{split_like}' looks like a split, '{printable(unknown[0].name)}' beside it "
            "does not; rename the one if it is a class, or move the other away"
        )
    if len(given) == 1:
        return Layout(tuple(found[given[0]]), (), _names(aside))
    if not found["train"]:
        raise GridcodeError(
            f"{printable(str(path))}: splits {' and '.join(given)}, but none to train on; name one of them 'train'"
        )
    unused = found["test"] if found["val"] else []
    return Layout(tuple(found["train"]), tuple(found["val"] or found["test"]), _names([*unused, *aside]))


def _names(entries: Sequence[Path]) -> tuple[str, ...]:
    return tuple(printable(entry.name) + ("/" if entry.is_dir() else "") for entry in entries)


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
        raise GridcodeError(f"{seen} both for training and for validation; give each split images of its own")


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
