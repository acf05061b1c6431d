"""From a path, or the word 'scenes', to a source of images and its training and validation parts.

scenes                                       the first train_count scenes, then the next val_count
files or folders whose names tell splits     as :mod:`gridcode.data.layout` reads them
file.npz with x_train, x_val|x_test          as named; or train_images and so on
a pattern, shards/{000..099}.tar             the files it stands for, by the splits that their names tell
anything else                                one pool, of which a share is held out for validation

One class is none: its images are unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from gridcode.data.config import DataConfig
from gridcode.data.folder import ImageFolder, ImageList, read_list
from gridcode.data.image import SUFFIXES
from gridcode.data.layout import Layout, check_apart, layout_of, parted, shards_of, tar_shards_of
from gridcode.data.npz import NpzImages, npz_splits
from gridcode.data.parquet import ParquetImages
from gridcode.data.scenes.source import Scenes
from gridcode.data.shards.beside import WithColumns
from gridcode.data.shards.images import TarImages
from gridcode.data.shards.names import is_pattern, is_url, local_shards
from gridcode.data.shards.opened import is_streamed, open_stream, shared_shards, stream_columns
from gridcode.data.shards.saved import SavedImages, is_saved
from gridcode.data.shards.stream import ImageStream
from gridcode.data.source import ImageSource, Relabelled, StoredImages, Unlabelled, hold_out, origin
from gridcode.errors import GridcodeError, MissingFileError

SCENES = "scenes"
"""The source that needs no files."""


def open_split(config: DataConfig, split: Literal["train", "val"]) -> ImageSource:
    """The training or the validation images that a config names.

    Args:
        config: Where the images are, and what to hold out where they have no split of their own.
        split: 'train' or 'val'. The two are disjoint, and the same on every run.

    Returns:
        The images; those of 'val' are labelled by the class names of 'train'.

    Raises:
        GridcodeError: The source is missing, unreadable, not of a known kind, or has the same files in both parts.

    >>> source = open_split(DataConfig(train_count=100, val_count=20), "val")
    >>> len(source)
    20
    """
    if split not in ("train", "val"):
        raise GridcodeError(f"a split is 'train' or 'val', not {split!r}")
    _refuse_streams(config.source, config.val_source)
    train = _train(config)
    one_class = len(train.classes) == 1
    if split == "train":
        return Unlabelled(train) if one_class else train
    val = _val(config)
    if isinstance(train, StoredImages) and isinstance(val, StoredImages):
        if config.source == config.val_source and train.places == val.places:
            val.notes = (*val.notes, "val: the training images themselves, for data.val_source is data.source")
        else:
            check_apart(train.places, val.places)
    if one_class:
        return Unlabelled(Relabelled(val, train.classes))
    if config.source == config.val_source or (config.source == SCENES and config.val_source is None):
        return val
    return _relabelled(val, train.classes)


def open_images(config: DataConfig, split: Literal["train", "val"]) -> ImageSource | ImageStream:
    """The same, and where they lie behind URLs, or ``data.stream`` says so, as a stream of shards.

    Args:
        config: Where the images are.
        split: 'train' or 'val'.

    Raises:
        GridcodeError: As for :func:`open_split`; or streams for training and validation share a shard, or have other
            classes.
    """
    of_val = config.val_source or config.source
    if not is_streamed(config, config.source):
        if is_url(of_val):
            raise GridcodeError(f"{of_val} is a stream, {config.source} is not; give both as URLs, or both as paths")
        return open_split(config, split)
    train = open_stream(config, "train")
    if split == "train":
        return train
    if not is_streamed(config, of_val):
        return _relabelled(_val(config), train.classes)
    val = open_stream(config, "val")
    if of_val != config.source and (both := shared_shards(train, val)):
        raise GridcodeError(f"{both[0]} is both for training and for validation; give each split shards of its own")
    if val.classes and train.classes and val.classes != train.classes:
        raise GridcodeError(f"{val.name}: its classes are not those of {train.name}; make their names the same")
    return val


def keep_columns(source: ImageSource | ImageStream, names: Sequence[str]) -> ImageSource | ImageStream:
    """The same images, each with what stands beside it in ``Example.beside`` and ``Batch.beside``.

    Args:
        source: Images of tar shards, Parquet files or a saved data set.
        names: Other columns; of tar shards, extensions such as ``txt`` and ``json``.

    Raises:
        GridcodeError: The images have no columns, or none of such a name, or it holds bytes.
    """
    names = list(dict.fromkeys(names))
    if isinstance(source, ImageStream):
        return replace(source, columns=stream_columns(source.shards[0], names))
    base = origin(source, 0)[0]
    if not isinstance(base, ParquetImages | TarImages | SavedImages):
        raise GridcodeError(
            f"{source.name}: nothing stands beside these images; columns are of tar shards, Parquet files and saved "
            "data sets"
        )
    return WithColumns(source, base.beside(names))


def open_input(config: DataConfig) -> ImageSource:
    """The images to look at: those of validation where the source has a split of its own, else all.

    Args:
        config: Where the images are; nothing is held out.

    Raises:
        GridcodeError: The source is missing, unreadable, or not of a known kind.

    >>> len(open_input(DataConfig(train_count=100, val_count=20)))
    20
    """
    if config.source == SCENES:
        return _scenes(config, start=config.train_count, count=config.val_count)
    _refuse_streams(config.source)
    layout = _layout(config.source)
    return _open_part(config, config.source, layout.val or layout.train, "val" if layout.val else "train")


def open_source(
    path: Path, *, on_error: Literal["stop", "skip"] = "stop", max_pixels: int | None = None
) -> StoredImages:
    """All images of a file or folder, whatever its kind.

    Args:
        path: A .parquet, .tar, .npz or .npy file, an image, a .txt of paths, or a folder of .parquet files, of .tar
            files or of images.
        on_error: At a file of a folder that is not an image: stop, or leave it out and say so.
        max_pixels: An image of more is refused when it is read; None for Pillow's own limit.

    Returns:
        The images.

    Raises:
        GridcodeError: There is nothing at ``path``, or nothing of a known kind.
    """
    if not path.exists():
        raise MissingFileError(
            f"{path}: no such file or folder; give the path of a folder of images, a .parquet, .tar, .npz or .npy "
            "file, or 'scenes' for the built-in images"
        )
    if path.is_dir():
        if shards := shards_of(path) or tar_shards_of(path):
            return open_shards(shards, name=str(path), on_error=on_error, max_pixels=max_pixels)
        if is_saved(path):
            return SavedImages(path, max_pixels=max_pixels)
        return ImageFolder(path, on_error=on_error, max_pixels=max_pixels)
    if path.suffix.lower() in (".parquet", ".tar"):
        return open_shards([path], name=str(path), on_error=on_error, max_pixels=max_pixels)
    if path.suffix.lower() in (".npz", ".npy"):
        return NpzImages(path)
    if path.suffix.lower() in SUFFIXES | {""}:
        return ImageList([path], root=path.parent, name=str(path), max_pixels=max_pixels)
    if path.suffix.lower() == ".txt":
        return read_list(path, max_pixels=max_pixels)
    raise GridcodeError(
        f"{path}: neither a folder nor a .parquet, .tar, .npz or .npy file, an image or a .txt of paths; give one of "
        "these"
    )


def open_shards(
    paths: Sequence[Path], *, name: str, on_error: Literal["stop", "skip"] = "stop", max_pixels: int | None = None
) -> StoredImages:
    """The images of Parquet or of tar files.

    Args:
        paths: The files, in order, all of one sort.
        name: What to record as the origin.
        on_error: As for :func:`open_source`.
        max_pixels: As for :func:`open_source`.

    Raises:
        GridcodeError: They are of several sorts or of none of these, or one cannot be read.
    """
    sorts = {path.suffix.lower() for path in paths}
    if sorts == {".tar"}:
        return TarImages(paths, name=name, on_error=on_error, max_pixels=max_pixels)
    if sorts == {".parquet"}:
        return ParquetImages(paths, name=name, max_pixels=max_pixels)
    raise GridcodeError(
        f"{name}: a pattern must stand for .tar or for .parquet files, not {', '.join(sorted(sorts)) or 'none'}"
    )


def _train(config: DataConfig) -> ImageSource:
    if config.source == SCENES:
        return _scenes(config, start=0, count=config.train_count)
    layout = _layout(config.source)
    pool = _open_part(config, config.source, layout.train, "train")
    if config.val_source is not None or layout.val:
        return pool
    return hold_out(pool, config.val_fraction, seed=config.seed)[0]


def _val(config: DataConfig) -> ImageSource:
    place = config.val_source or config.source
    if place == SCENES:
        return _scenes(config, start=config.train_count, count=config.val_count)
    layout = _layout(place)
    if layout.val:
        return _open_part(config, place, layout.val, "val")
    pool = _open_part(config, place, layout.train, "train")
    return pool if config.val_source is not None else hold_out(pool, config.val_fraction, seed=config.seed)[1]


def _refuse_streams(*places: str | None) -> None:
    for place in places:
        if place is not None and is_url(place):
            raise GridcodeError(f"{place} is a stream, and here every image is looked up by its number; fetch it first")


def _relabelled(val: ImageSource, classes: tuple[str, ...]) -> ImageSource:
    return Relabelled(val, classes) if classes and val.classes and val.classes != classes else val


def _scenes(config: DataConfig, *, start: int, count: int) -> Scenes:
    return Scenes(
        seed=config.seed, start=start, count=count, size=config.size, objects=config.objects, tiles=config.tiles
    )


def _open_part(config: DataConfig, place: str, part: tuple[Path, ...], split: Literal["train", "val"]) -> StoredImages:
    """The files of one split, or everything at ``place`` where it has no splits."""
    source: StoredImages
    reading: Any = {"on_error": config.on_error, "max_pixels": config.max_pixels}
    if not part and is_pattern(place):
        source = open_shards(local_shards(place), name=place, **reading)
    elif not part or part[0].is_dir():
        source = open_source(part[0] if part else _path(place), **reading)
    elif part[0].suffix.lower() == ".npz":
        source = NpzImages(part[0], split="test" if split == "val" and "val" not in npz_splits(part[0]) else split)
    else:
        source = open_shards(part, name=str(part[0]), **reading)
    if aside := _layout(place).aside:
        source.notes = (*source.notes, f"not used: {', '.join(aside)}")
    return source


def _layout(place: str) -> Layout:
    """The splits of a folder, of a pattern's files, or of a .npz file that has some."""
    if is_pattern(place):
        return parted(local_shards(place), place)
    path = _path(place)
    if path.suffix.lower() == ".npz" and path.is_file():
        splits = npz_splits(path)
        if len(splits) < 2:
            return Layout((path,) if splits == ("train",) else ())
        if "train" not in splits:
            raise GridcodeError(f"{path}: splits {' and '.join(splits)}, but none to train on; call one 'x_train'")
        return Layout((path,), (path,), splits[2:])
    return layout_of(path)


def _path(place: str) -> Path:
    """The path; a shell leaves the ~ of ``--data.source=~/photos`` to the program."""
    return Path(place).expanduser()


_NAMES = 6


def understood(train: ImageSource | ImageStream, val: ImageSource | ImageStream) -> list[str]:
    """Splits, counts, classes and what is left out, one line each.

    Args:
        train: The training part.
        val: The validation part.

    >>> from gridcode.data import DataConfig, open_split
    >>> config = DataConfig(train_count=3, val_count=1)
    >>> understood(open_split(config, "train"), open_split(config, "val"))[:2]
    ['train: 3 images of scenes', 'val: 1 image of scenes']
    """
    lines = [_how_many("train", train), _how_many("val", val)]
    lines.append(class_line(train.classes) if train.classes else "classes: none")
    return lines + list(dict.fromkeys([*train.notes, *val.notes]))


def _how_many(split: str, source: ImageSource | ImageStream) -> str:
    if isinstance(source, ImageStream):
        count = len(source.shards)
        return f"{split}: {count:,} shard{'s' * (count != 1)} of {source.name}, count of images unknown"
    return count_line(split, len(source), source.name)


def count_line(split: str, count: int, name: str) -> str:
    """How many images a split has, in a line.

    >>> count_line("val", 1, "scenes")
    'val: 1 image of scenes'
    """
    return f"{split}: {count:,} image{'s' * (count != 1)} of {name}"


def class_line(names: Sequence[str]) -> str:
    """How many classes there are and the first ones' names, in a line.

    >>> class_line(["cat", "dog"])
    'classes: 2 (cat, dog)'
    """
    return f"classes: {len(names)} ({', '.join(names[:_NAMES])}{', …' if len(names) > _NAMES else ''})"
