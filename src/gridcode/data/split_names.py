"""What a file's or folder's name says of the split that it holds: by a whole word, in any case."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Split: TypeAlias = Literal["train", "val", "test"]

WORDS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What each split is called; of several words in a name the first split here counts."""


def split_of(name: str) -> Split | None:
    """The split that a name tells; None where it tells none.

    >>> split_of("Train"), split_of("x-val-00000-of-00001.parquet"), split_of("val2017"), split_of("training_data")
    ('train', 'val', 'val', 'train')
    >>> split_of("trains"), split_of("contest")
    (None, None)
    """
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((split for split, called in WORDS.items() if words.intersection(called)), None)
