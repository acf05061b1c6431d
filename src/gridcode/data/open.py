"""From a path, or the word 'scenes', to a source of images and its training and validation parts.

scenes                                       the first train_count scenes, then the next val_count
folder/train*.parquet, val*|test*.parquet    as named; also in folder/data/, as on the Hugging Face hub
folder/train/, folder/val|validation|test/   as named, each a folder of images
file.npz with x_train, x_val|x_test          as named; or train_images and so on
anything else                                one pool, of which a share is held out for validation
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gridcode.data.config import DataConfig
from gridcode.data.folder import ImageFolder
from gridcode.data.npz import NpzImages, npz_splits
from gridcode.data.parquet import ParquetImages
from gridcode.data.scenes import Scenes
from gridcode.data.source import ImageSource, StoredImages
from gridcode.data.views import Relabelled, hold_out
from gridcode.errors import GridcodeError

SCENES = "scenes"
"""The source that needs no files."""
_SPLIT_FOLDERS = frozenset({"train", "val", "valid", "validation", "test"})


def open_split(config: DataConfig, split: Literal["train", "val"]) -> ImageSource:
    """The training or the validation images that a config names.

    Args:
        config: Where the images are, and what to hold out where they have no split of their own.
        split: 'train' or 'val'. The two are disjoint, and the same on every run.

    Returns:
        The images; those of 'val' are labelled by the class names of 'train'.

    Raises:
        GridcodeError: The source is missing, unreadable, or not of a known kind.

    >>> source = open_split(DataConfig(train_count=100, val_count=20), "val")
    >>> len(source)
    20
    """
    if split not in ("train", "val"):
        raise GridcodeError(f"a split is 'train' or 'val', not {split!r}")
    if split == "train":
        return _train(config)
    val = _val(config)
    if config.source == config.val_source or (config.source == SCENES and config.val_source is None):
        return val
    classes = _train(config).classes
    return Relabelled(val, classes) if classes and val.classes and val.classes != classes else val


def open_source(path: Path, *, on_error: Literal["stop", "skip"] = "stop") -> StoredImages:
    """All images of a file or folder, whatever its kind.

    Args:
        path: A .parquet, .npz or .npy file, a folder of .parquet files, or a folder of images.
        on_error: At a file of a folder that is not an image: stop, or leave it out and say so.

    Returns:
        The images.

    Raises:
        GridcodeError: There is nothing at ``path``, or nothing of a known kind.
    """
    if not path.exists():
        raise GridcodeError(
            f"{path}: no such file or folder; give the path of a folder of images, a .parquet, .npz or .npy file, "
            "or 'scenes' for the built-in pictures"
        )
    if path.is_dir():
        shards = _shards(path)
        return ParquetImages(shards, name=str(path)) if shards else ImageFolder(path, on_error=on_error)
    if path.suffix == ".parquet":
        return ParquetImages([path])
    if path.suffix in (".npz", ".npy"):
        return NpzImages(path)
    raise GridcodeError(f"{path}: neither a folder nor a .parquet, .npz or .npy file; put single images into a folder")


def _train(config: DataConfig) -> ImageSource:
    if config.source == SCENES:
        return Scenes(seed=config.seed, start=0, count=config.train_count, size=config.size)
    layout = _layout(_path(config.source))
    pool = _open_part(config, config.source, layout.get("train"), "train")
    if config.val_source is not None or "val" in layout:
        return pool
    return hold_out(pool, config.val_fraction, seed=config.seed)[0]


def _val(config: DataConfig) -> ImageSource:
    place = config.val_source or config.source
    if place == SCENES:
        return Scenes(seed=config.seed, start=config.train_count, count=config.val_count, size=config.size)
    layout = _layout(_path(place))
    if config.val_source is not None or "val" in layout:
        return _open_part(config, place, layout.get("val"), "val")
    pool = _open_part(config, place, layout.get("train"), "train")
    return hold_out(pool, config.val_fraction, seed=config.seed)[1]


def _open_part(config: DataConfig, place: str, part: list[Path] | None, split: Literal["train", "val"]) -> StoredImages:
    """The files of one split, or everything at ``place`` where it has no splits."""
    if part is None or part[0].is_dir():
        return open_source(_path(place) if part is None else part[0], on_error=config.on_error)
    if part[0].suffix == ".npz":
        return NpzImages(part[0], split="test" if split == "val" and "val" not in npz_splits(part[0]) else split)
    return ParquetImages(part)


def _layout(path: Path) -> dict[str, list[Path]]:
    """The splits that the names in a folder tell: 'train' and perhaps 'val'; empty without 'train'."""
    if path.suffix == ".npz" and path.is_file():
        splits = npz_splits(path)
        held_out = {"val": [path]} if len(splits) > 1 else {}
        return {"train": [path], **held_out} if "train" in splits else {}
    if not path.is_dir():
        return {}
    entries = _shards(path)
    if not entries:
        entries = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        if any(entry.name not in _SPLIT_FOLDERS for entry in entries):
            return {}  # these are class folders, one of which may be called 'train'
    named = {word: [entry for entry in entries if entry.name.startswith(word)] for word in ("train", "val", "test")}
    if not named["train"]:
        return {}
    val = named["val"] or named["test"]
    return {"train": named["train"], "val": val} if val else {"train": named["train"]}


def _shards(path: Path) -> list[Path]:
    """Parquet files of a folder, or of its subfolder 'data', sorted."""
    return sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))


def _path(place: str) -> Path:
    """The path; a shell leaves the ~ of ``--data.source=~/photos`` to the program."""
    return Path(place).expanduser()
