"""What was understood of a data set of pictures, for a person to check before the training begins."""

from __future__ import annotations

from gridcode.data.source import ImageSource

_NAMES = 6


def understood(train: ImageSource, val: ImageSource) -> list[str]:
    """Splits, counts, classes and what is left out, one line each.

    Args:
        train: The training part.
        val: The validation part.

    >>> from gridcode.data import DataConfig, open_split
    >>> config = DataConfig(train_count=3, val_count=1)
    >>> understood(open_split(config, "train"), open_split(config, "val"))[:2]
    ['train: 3 pictures of scenes', 'val: 1 picture of scenes']
    """
    lines = [
        f"{split}: {len(part):,} picture{'s' * (len(part) != 1)} of {part.name}"
        for split, part in (("train", train), ("val", val))
    ]
    names = train.classes
    shown = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    lines.append(f"classes: {len(names)} ({shown})" if names else "classes: none")
    return lines + list(dict.fromkeys([*train.notes, *val.notes]))
