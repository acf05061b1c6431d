"""From settings to streams: which shards are for training and which for validation, and what their classes are called.

names or folders tell splits              as they say: train-{000..099}.tar, val/000.tar
anything else                             a share of the shards is held out, at least one, by a hash of their names
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from gridcode.data.config import DataConfig
from gridcode.data.file_names import is_split, printable, split_of
from gridcode.data.layout import shards_of, tar_shards_of
from gridcode.data.mapped import parquet_in
from gridcode.data.parquet import columns_of
from gridcode.data.shards.beside import TEXT, chosen, kind_of
from gridcode.data.shards.example import CLASS_NAMES, class_names, is_image
from gridcode.data.shards.names import is_pattern, is_shard, is_url, local_shards, no_shard
from gridcode.data.shards.remote import expand_urls, open_anywhere, read_url
from gridcode.data.shards.stream import ImageStream, is_parquet
from gridcode.data.source import split_keys
from gridcode.errors import GridcodeError, MissingFileError


def is_streamed(config: DataConfig, place: str) -> bool:
    """Whether a place is read from front to back: a URL is, and local shards where ``data.stream`` says so."""
    return is_url(place) or (config.stream and place != "scenes")


def open_stream(config: DataConfig, split: Literal["train", "val"]) -> ImageStream:
    """The shards of a split.

    Args:
        config: Where they are; for validation ``val_source`` counts first.
        split: 'train' or 'val'. The two share no shard, and are the same on every run.

    Raises:
        GridcodeError: There are no such shards, some names tell a split and others do not, or there is one shard only.
    """
    place = config.source if split == "train" else config.val_source or config.source
    train, val = _parts(place)
    part = ""
    if split == "val" and (val or config.val_source):
        shards = val or train
    elif val or (split == "train" and config.val_source):
        shards = train
    else:
        if len(train) < 2:
            raise GridcodeError(f"{place}: one shard cannot be split; write more, or set data.val_source")
        kept, held = split_keys([PurePosixPath(shard).name for shard in train], config.val_fraction, seed=config.seed)
        shards = [train[index] for index in (kept if split == "train" else held)]
        part = " (train)" if split == "train" else " (held out)"
    classes = _classes(train[0])
    notes = () if classes else ("labels: none, for a stream tells classes only by a classnames.txt beside its shards",)
    return ImageStream(
        tuple(shards), printable(place + part), classes, notes, on_error=config.on_error, max_pixels=config.max_pixels
    )


def _parts(place: str) -> tuple[list[str], list[str]]:
    """Shards to train on, and those of validation; without a word of splits all are for training."""
    shards = _shards(place)
    found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    unknown: list[str] = []
    by_folder = all(is_split(PurePosixPath(shard).parent.name) for shard in shards)
    for shard in shards:
        path = PurePosixPath(shard)
        split = split_of(path.name) or (split_of(path.parent.name) if by_folder else None)
        (found[split] if split else unknown).append(shard)
    if len(unknown) == len(shards):
        return unknown, []
    if unknown:
        named = next(shard for shard in shards if shard not in unknown)
        raise GridcodeError(
            f"{place}: '{PurePosixPath(named).name}' looks like a split, '{PurePosixPath(unknown[0]).name}' beside it "
            "does not; give a pattern of one or of the other"
        )
    if not found["train"]:
        return found["val"] or found["test"], []
    return found["train"], found["val"] or found["test"]


def _shards(place: str) -> list[str]:
    if is_url(place):
        shards = expand_urls(place)
    elif is_pattern(place):
        shards = [str(path) for path in local_shards(place)]
    else:
        path = Path(place).expanduser()
        if not path.exists():
            raise MissingFileError(f"{place}: no such file or folder; check data.source")
        shards = [str(path)] if path.is_file() else [str(shard) for shard in shards_of(path) or tar_shards_of(path)]
    wrong = next((shard for shard in shards if not is_shard(shard)), None)
    if wrong is not None or not shards:
        raise no_shard(wrong or place)
    return shards


def _classes(shard: str) -> tuple[str, ...]:
    """The classes' names, from a file beside a shard or one folder above, or from a Parquet file's metadata."""
    if is_parquet(shard):
        with open_anywhere(shard) as opened, parquet_in(opened, shard) as file:
            return columns_of(file.schema_arrow, printable(shard)).classes
    for place in (f"{folder}/{name}" for folder in _folders(shard) for name in CLASS_NAMES):
        if (told := _read(place)) is not None:
            return class_names(told.decode("utf-8", "replace"), printable(place))
    return ()


def stream_columns(shard: str, names: Sequence[str]) -> dict[str, str]:
    """What stands beside images and of which kind it is, as a shard tells it; in tar files it is all text.

    Raises:
        GridcodeError: A Parquet file has no such column, or one is of images or other bytes.
    """
    if not is_parquet(shard):
        if images := [name for name in names if is_image(name)]:
            raise GridcodeError(f"columns: '{images[0]}' is an image, which a token store does not keep; leave it out")
        return dict.fromkeys(names, TEXT)
    with open_anywhere(shard) as opened, parquet_in(opened, shard) as file:
        image = columns_of(file.schema_arrow, printable(shard)).image
        return {column.name: kind_of(column) for column in chosen(file.schema_arrow, names, image, printable(shard))}


def _folders(shard: str) -> list[str]:
    """A shard's folder and the one above; a server or a bucket has none above."""
    if not is_url(shard):
        return [str(Path(shard).parent), str(Path(shard).absolute().parent.parent)]
    scheme, _, rest = shard.partition("?")[0].partition("://")
    return [f"{scheme}://{above}" for above in PurePosixPath(rest).parents if above.name][:2]


def _read(place: str) -> bytes | None:
    if is_url(place):
        return read_url(place)
    return Path(place).read_bytes() if Path(place).is_file() else None


def shared_shards(train: ImageStream, val: ImageStream) -> Sequence[str]:
    """Shards that both read, whatever the ways to them."""
    places = {_place(shard) for shard in train.shards}
    return sorted(shard for shard in val.shards if _place(shard) in places)


def _place(shard: str) -> str:
    return shard if is_url(shard) else os.path.realpath(Path(shard).expanduser())
