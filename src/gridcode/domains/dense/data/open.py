"""From settings to a source of images with label maps, its training and validation parts, and the label map itself.

scenes                                       the first train_count scenes, then the next val_count
root/annotations/panoptic_train*.json, …     COCO's panoptic layout (task 'panoptic')
folder/*train*.parquet, *val*|*test*         images and label maps in columns, in folders as for images alone
root/train/, val|test/ or root/              image/ and depth/ or segmentation/, files of the same names
root/image/train/, root/depth/train/, …      the same, the other way round
anything that open_split takes               images alone (task 'colour')

Splits are told by a word in a name, in any case. Where there is none, a share is held out by a hash of the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal

from gridcode.data.config import DataConfig
from gridcode.data.file_names import Split, split_of
from gridcode.data.layout import check_apart, shards_of, subfolders, telling_names
from gridcode.data.open import SCENES, class_line, count_line, open_split
from gridcode.data.parquet import parquet_schema
from gridcode.data.source import split_keys
from gridcode.domains.dense.data.coco import CocoPanoptic, coco_splits
from gridcode.domains.dense.data.colour import ColourImages, ColourMap
from gridcode.domains.dense.data.config import Categories, DenseConfig, PanopticConfig
from gridcode.domains.dense.data.depth import DepthMap
from gridcode.domains.dense.data.panoptic import PanopticMap
from gridcode.domains.dense.data.scenes import DenseScenes
from gridcode.domains.dense.data.source import DensePart, DenseSource, LabelMap
from gridcode.domains.dense.data.stored import (
    COLUMN,
    IMAGE_FOLDERS,
    FolderLabels,
    ParquetLabels,
    Reading,
    StoredLabels,
    StoredTask,
    label_folders,
)
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.training.seeding import fixed_sample


def open_dense(config: DenseConfig, split: Literal["train", "val"]) -> DenseSource:
    """The training or the validation images with label maps that a config names.

    Args:
        config: Where they are, for which task, and what to hold out where there is no split.
        split: 'train' or 'val'. The two are disjoint, and the same on every run.

    Returns:
        The source.

    Raises:
        GridcodeError: The source is missing, of no known layout, or damaged.

    >>> open_dense(DenseConfig(task="panoptic", train_count=100, val_count=3), "val").key(0)
    'scene-0-000100'
    """
    if split not in ("train", "val"):
        raise GridcodeError(f"a split is 'train' or 'val', not {split!r}")
    if config.task == "colour":
        return ColourImages(open_split(_image_data(config), split))
    if config.source == SCENES:
        start, count = (0, config.train_count) if split == "train" else (config.train_count, config.val_count)
        size = max(config.shape)
        return DenseScenes(config.task, seed=config.seed, start=start, count=count, size=size)
    root = Path(config.source).expanduser()
    if not root.exists():
        raise MissingFileError(f"{root}: no such file or folder; give the path of a data set or 'scenes'")
    if config.task == "panoptic" and (root / "annotations").is_dir():
        return _coco(root, config, split)
    return _stored(root, config, config.task, split)


def _image_data(config: DenseConfig) -> DataConfig:
    """The settings of the images alone."""
    return DataConfig(
        source=config.source,
        size=max(config.shape),
        val_fraction=config.val_fraction,
        train_count=config.train_count,
        val_count=config.val_count,
        seed=config.seed,
        max_pixels=config.max_pixels,
    )


def _coco(root: Path, config: DenseConfig, split: Literal["train", "val"]) -> DenseSource:
    splits = coco_splits(root)
    if not splits:
        raise GridcodeError(f"{root / 'annotations'}: no panoptic_train*.json or panoptic_val*.json; download them")
    coco = partial(CocoPanoptic, root, orientation=config.orientation, max_pixels=config.max_pixels)
    if len(splits) == 2:
        both = {part: coco(name) for part, name in splits.items()}
        check_apart(both["train"].places, both["val"].places)
        return both[split]
    return _part(coco(next(iter(splits.values()))), config, split)


def _stored(root: Path, config: DenseConfig, task: StoredTask, split: Literal["train", "val"]) -> DenseSource:
    if root.is_file() and root.suffix.lower() != ".parquet":
        raise GridcodeError(f"{root}: not a .parquet file; give a folder, a .parquet file or 'scenes'")
    reading = Reading(config.ignore_value, config.orientation, config.max_pixels)

    def parquet(shards: list[Path]) -> StoredLabels:
        return ParquetLabels(shards, task, config.depth, reading=reading)

    def folder(root: Path, part: str = "") -> StoredLabels:
        return FolderLabels(root, task, config.depth, part=part, reading=reading)

    shards = [root] if root.is_file() else shards_of(root)
    if shards:
        # NYUv2 as we have it knows classes only in its test file: that is then all there is.
        column = COLUMN[task]
        labelled = [shard for shard in shards if column in parquet_schema(shard).names]
        if not labelled:
            raise GridcodeError(
                f"{shards[0]}: no column '{column}' among {', '.join(parquet_schema(shards[0]).names)}; "
                f"the task '{task}' needs it"
            )
        named = _by_split(labelled, telling_names(root, labelled))
        if len(named) == 2:
            return _of_both(lambda part: parquet(named[part]), split)
        return _part(parquet(named.get("train", labelled)), config, split)
    entries = subfolders(root)
    folders = _by_split(entries, [entry.name for entry in entries])
    if not folders or any(entry.name.lower() in IMAGE_FOLDERS for entry in entries):
        inside = subfolders(label_folders(root, task)[0])
        parts = _by_split(inside, [entry.name for entry in inside])
        if len(parts) == 2:
            return _of_both(lambda part: folder(root, part=_only(parts[part]).name), split)
        return _part(folder(root), config, split)
    if len(folders) == 2:
        return _of_both(lambda part: folder(_only(folders[part])), split)
    return _part(folder(_only(next(iter(folders.values())))), config, split)


def _of_both(labels: Callable[[str], StoredLabels], split: Literal["train", "val"]) -> StoredLabels:
    """A split, with the classes of both where they have numbers alone: a split may lack the highest."""
    both = {part: labels(part) for part in ("train", "val")}
    check_apart(both["train"].places, both["val"].places)
    chosen = both[split]
    if chosen.categories is not None and not chosen.named:
        names = max((part.categories.names for part in both.values() if part.categories is not None), key=len)
        chosen.categories = Categories(names, (False,) * len(names))
    return chosen


def _by_split(entries: Iterable[Path], names: Iterable[str]) -> dict[str, list[Path]]:
    """The entries whose names tell a split: 'train', and 'val' (those called test where none is called val)."""
    found: dict[Split | None, list[Path]] = {"train": [], "val": [], "test": [], None: []}
    for entry, name in zip(entries, names, strict=True):
        found[split_of(name)].append(entry)
    named = {"train": found["train"], "val": found["val"] or found["test"]}
    return {split: paths for split, paths in named.items() if paths}


def _only(folders: list[Path]) -> Path:
    if len(folders) > 1:
        raise GridcodeError(f"{folders[0]} and {folders[1].name}: both look like one split; rename or move one")
    return folders[0]


def _part(source: DenseSource, config: DenseConfig, split: Literal["train", "val"]) -> DenseSource:
    """The part of an undivided source that is not, or is, held out."""
    if len(source) < 2:
        raise GridcodeError(f"{source.name}: {len(source)} image cannot be split; add images")
    train, held = split_keys([source.key(index) for index in range(len(source))], config.val_fraction, seed=config.seed)
    chosen, what = (train, "train") if split == "train" else (held, "held out")
    return DensePart(source, chosen, name=f"{source.name} ({what})")


LOOKED_AT = 1000
"""Images of a split whose headers are read for an EXIF orientation."""


def understood(config: DenseConfig, train: DenseSource, val: DenseSource) -> list[str]:
    """Splits, classes, what is ignored, units and orientation, one line each.

    Args:
        config: How the files are read.
        train: The training part.
        val: The validation part.

    >>> from gridcode.domains.dense.data.open import open_dense
    >>> config = DenseConfig(train_count=3, val_count=2)
    >>> understood(config, open_dense(config, "train"), open_dense(config, "val"))
    ['train: 3 images of scenes', 'val: 2 images of scenes', 'depth: 0.001 … 10 m count']
    """
    lines = [count_line("train", len(train), train.name), count_line("val", len(val), val.name)]
    if train.categories is not None:
        lines.append(f"{class_line(train.categories.names)}, {sum(train.categories.things)} of them countable")
    lines += dict.fromkeys([*train.notes, *val.notes])
    if config.task == "depth":
        depth = config.depth
        units = f"integers are metres times {depth.png_scale:g}; " if not train.in_memory else ""
        counted = f"{depth.near:g} … {depth.far:g} m count" if depth.relative == "none" else "each image's own scale"
        lines.append(f"depth: {units}{counted}")
    if config.task != "colour" and not train.in_memory:
        lines.append(_orientation(config, train, val))
    return lines


def _orientation(config: DenseConfig, train: DenseSource, val: DenseSource) -> str:
    chosen = [(part, fixed_sample(len(part), min(LOOKED_AT, len(part))).tolist()) for part in (train, val)]
    looked = sum(len(places) for _, places in chosen)
    tagged = sum(part.tag(place) != 1 for part, places in chosen for place in places)
    meant = "images are turned by it" if config.orientation == "exif" else "no image is turned by it"
    seen = f"{tagged:,} of {looked:,} images have one in EXIF"
    return f"orientation: {seen}; {meant} (data.orientation={config.orientation})"


def make_label_map(config: DenseConfig, categories: Categories | None) -> LabelMap:
    """The label map of a task.

    Args:
        config: Task, bins, instances, smallest segment.
        categories: The source's classes; only the task 'panoptic' has and needs them.

    Raises:
        GridcodeError: A panoptic map without classes.

    >>> make_label_map(DenseConfig(task="depth"), None).groups
    (256,)
    """
    if config.task == "depth":
        return DepthMap(config.depth)
    if config.task == "colour":
        return ColourMap()
    if categories is None:
        raise GridcodeError(f"{config.source}: a panoptic map needs the source's classes; open it with open_dense")
    return PanopticMap(PanopticConfig(categories, instances=config.instances, min_share=config.min_share))
