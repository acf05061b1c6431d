"""What was understood of a data set with label maps, for a person to check before the training begins."""

from __future__ import annotations

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.source import DenseSource
from gridcode.training.seeding import some_of

LOOKED_AT = 1000
"""Pictures of a split whose headers are read for an EXIF orientation."""
_NAMES = 6


def understood(config: DenseConfig, train: DenseSource, val: DenseSource) -> list[str]:
    """Splits, classes, what is ignored, units and orientation, one line each.

    Args:
        config: How the files are read.
        train: The training part.
        val: The validation part.

    >>> from gridcode.domains.dense.data.open import open_dense
    >>> config = DenseConfig(train_count=3, val_count=2)
    >>> understood(config, open_dense(config, "train"), open_dense(config, "val"))
    ['train: 3 pictures of scenes', 'val: 2 pictures of scenes', 'depth: 0.001 … 10 m count']
    """
    lines = [
        f"{split}: {len(part):,} picture{'s' * (len(part) != 1)} of {part.name}"
        for split, part in (("train", train), ("val", val))
    ]
    if train.categories is not None:
        names, things = train.categories.names, sum(train.categories.things)
        shown = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
        lines.append(f"classes: {len(names)} ({shown}), {things} of them countable")
    lines += dict.fromkeys([*train.notes, *val.notes])
    if config.task == "depth":
        depth = config.depth
        units = f"integers are metres times {depth.png_scale:g}; " if not train.in_memory else ""
        counted = f"{depth.near:g} … {depth.far:g} m count" if depth.relative == "none" else "each picture's own scale"
        lines.append(f"depth: {units}{counted}")
    if config.task != "colour" and not train.in_memory:
        lines.append(_orientation(config, train, val))
    return lines


def _orientation(config: DenseConfig, train: DenseSource, val: DenseSource) -> str:
    chosen = [(part, some_of(len(part), min(LOOKED_AT, len(part))).tolist()) for part in (train, val)]
    looked = sum(len(places) for _, places in chosen)
    tagged = sum(part.tag(place) != 1 for part, places in chosen for place in places)
    meant = "pictures are turned by it" if config.orientation == "exif" else "no picture is turned by it"
    seen = f"{tagged:,} of {looked:,} pictures have one in EXIF"
    return f"orientation: {seen}; {meant} (data.orientation={config.orientation})"
