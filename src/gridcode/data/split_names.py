"""What a file's or folder's name says of the split that it holds: by a whole word, in any case."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Split: TypeAlias = Literal["train", "val", "test"]

WORDS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train", "training", "trn", "trainset"),
    "val": ("val", "valid", "validation", "validate", "dev", "valset"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "testset"),
}
"""What each split is called; of several words in a name the first split here counts."""
_ASIDE: Final = frozenset({"unlabeled", "unlabelled", "unsupervised", "extra"})
_FILLERS: Final = frozenset(
    {"", "set", "split", "data", "dataset", "images", "image", "imgs", "img", "pictures", "of", "parquet"}
)


def split_of(name: str) -> Split | None:
    """The split that a name tells; None where it tells none.

    >>> split_of("Train"), split_of("x-val-00000-of-00001.parquet"), split_of("val2017"), split_of("training_data")
    ('train', 'val', 'val', 'train')
    >>> split_of("trains"), split_of("contest")
    (None, None)
    """
    words = set(_words(name))
    return next((split for split, called in WORDS.items() if words.intersection(called)), None)


def is_aside(name: str) -> bool:
    """Whether a name tells pictures that belong to no split, such as 'unlabeled'.

    >>> is_aside("unlabeled"), is_aside("STL10-extra"), is_aside("cat")
    (True, True, False)
    """
    return not _ASIDE.isdisjoint(_words(name))


def rest_of(name: str) -> tuple[str, ...]:
    """The words of a name that tell no split; none where the whole name does.

    >>> rest_of("Train"), rest_of("train_images"), rest_of("bullet_train")
    ((), (), ('bullet',))
    """
    called = _ASIDE.union(*WORDS.values())
    return tuple(word for word in _words(name) if word not in called and word not in _FILLERS)


def is_split(name: str) -> bool:
    """Whether a whole name, and not just a word in it, tells a split.

    >>> is_split("Validation"), is_split("test tube")
    (True, False)
    """
    return split_of(name) is not None and not rest_of(name)


def is_fold(name: str) -> bool:
    """Whether a name is that of a fold of cross-validation.

    >>> is_fold("fold1"), is_fold("Split_03"), is_fold("folder")
    (True, True, False)
    """
    return re.fullmatch(r"(fold|split)[ _-]?\d+", name.lower()) is not None


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]+", name.lower())
