"""What lies in a folder: which of its files or subfolders are which split, told by their names.

root/train*.parquet, root/data/x-val-0….parquet      the split by the file's name
root/CONFIG/train-0….parquet, root/CONFIG/data/…     the same, in the one subfolder that has such files
root/train/0000.parquet, root/val/…                  the split by the folder's name
root/train/, root/Validation/                        pictures, the split by the folder's name
root/ANY/train/, root/ANY/val/                       the same, in a lone subfolder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gridcode.data.file_names import is_clutter, printable
from gridcode.data.image import SUFFIXES
from gridcode.data.split_names import is_aside, is_split, rest_of, split_of
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Layout:
    """The parts of a folder; no parts where its names tell no splits.

    >>> Layout().train
    ()
    """

    train: tuple[Path, ...] = ()
    """Parquet files, or one folder."""
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
    if shards := shards_of(path):
        return _parted(shards, telling_names(path, shards), path)
    if _pictures(path):
        return Layout()
    folders = subfolders(path)
    if len(folders) == 1 and split_of(folders[0].name) is None and not _pictures(folders[0]):
        below = subfolders(folders[0])
        if below and any(is_split(folder.name) for folder in below):
            return layout_of(folders[0])
    if not any(is_split(folder.name) for folder in folders) and not _alike(folders):
        return Layout()
    layout = _parted(folders, [folder.name for folder in folders], path)
    for part in (layout.train, layout.val):
        if len(part) > 1:
            names = " and ".join(f"'{printable(folder.name)}'" for folder in part[:2])
            raise GridcodeError(f"{printable(str(path))}: folders {names} look like one split; rename or move one")
    return layout


def shards_of(path: Path) -> list[Path]:
    """The Parquet files of a folder, of its subfolder 'data', of its split folders, or of its one configuration."""
    for folder in (path, path / "data"):
        if folder.is_dir() and (found := _parquet(folder)):
            return found
    within = {folder: found for folder in subfolders(path) if (found := _shards_below(folder))}
    splits = [shard for folder, found in within.items() if is_split(folder.name) for shard in found]
    if splits:
        return splits
    if len(within) > 1:
        names = ", ".join(printable(folder.name) for folder in within)
        raise GridcodeError(f"{printable(str(path))}: several data sets lie here ({names}); give one of them")
    return next(iter(within.values()), [])


def telling_names(path: Path, shards: Sequence[Path]) -> list[str]:
    """The name of each Parquet file of :func:`shards_of` that may tell its split: its folder's, or its own."""
    by_folder = {shard.parent for shard in shards}
    inside = len(by_folder) > 1 or (by_folder != {path} and is_split(shards[0].parent.name))
    return [shard.parent.name if inside else shard.name for shard in shards]


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, without clutter and without those that hold nothing but clutter, sorted."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not is_clutter(entry.name))


def _shards_below(folder: Path) -> list[Path]:
    for inside in (folder, folder / "data"):
        if inside.is_dir() and (found := _parquet(inside)):
            return found
    return [shard for part in subfolders(folder) if is_split(part.name) for shard in _parquet(part)]


def _parquet(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() == ".parquet" and not is_clutter(entry.name) and entry.is_file()
    )


def _pictures(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES and not is_clutter(entry.name) for entry in folder.iterdir())


def _alike(folders: Sequence[Path]) -> bool:
    """Whether names such as 'x-train' and 'x-val' differ in the split alone; 'bullet_train', 'test_tube' do not."""
    told = {split_of(folder.name) for folder in folders}
    return len(told) > 1 and None not in told and len({rest_of(folder.name) for folder in folders}) == 1


def _parted(entries: Sequence[Path], names: Sequence[str], path: Path) -> Layout:
    """The entries by the split that each one's name tells."""
    found: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    aside, unknown = [], []
    for entry, name in zip(entries, names, strict=True):
        split = split_of(name)
        if split is not None:
            found[split].append(entry)
        elif is_aside(name):
            aside.append(entry)
        elif entry.is_file() or any(not is_clutter(inside.name) for inside in entry.iterdir()):
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
