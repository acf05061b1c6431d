"""What names of files tell: clutter to pass over, splits, names that no text can hold, links that lead in circles.

A name tells the split that a file or folder holds by a whole word in it, in any case: 'Train', 'x-val-00000.parquet'.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

# What systems, browsers, sync tools and hubs leave behind without being asked; in lower case. Hidden files are, too.
_CLUTTER = (
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "recycler", "@eadir", "#recycle",
    "system volume information", "lost+found", "__pycache__", "*.crdownload", "*.part", "*.partial", "*.download",
    "*.tmp", "~$*", "*~", "@__thumb", "#snapshot", "@tmp", "@recycle", "*.lnk", "*.url", "*.icloud",
    "*.aria2", "*.filepart", "*:zone.identifier", "picasa.ini", "zbthumbnail.info", "pspbrwse.jbf",
    "network trash folder", "temporary items", "*.gdoc", "*.gsheet",
)  # fmt: skip
# What describes a data set and lies beside its images.
_DOCUMENTS = (
    "readme*", "license*", "licence*", "changelog*", "citation*", "*.md", "dataset_info*.json", "dataset_dict.json",
    "state.json", "metadata.csv", "metadata.jsonl", "classes.txt", "*.sha256", "*.md5", "checksums*", "manifest.json",
    "*.xmp", "*.aae",
)  # fmt: skip


def is_clutter(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or what a system or a tool left behind.

    >>> is_clutter("__MACOSX"), is_clutter("._1.png"), is_clutter("cat")
    (True, True, False)
    """
    return name.startswith(".") or _any_of(_CLUTTER).match(name.lower()) is not None


def is_document(name: str) -> bool:
    """Whether a file of that name describes the data set it lies in.

    >>> is_document("README.md"), is_document("notes.txt")
    (True, False)
    """
    return _any_of(_DOCUMENTS).match(name.lower()) is not None


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What one of the patterns matches: a single expression, for there may be millions of names."""
    return re.compile("|".join(map(translate, patterns)))


def printable(name: str) -> str:
    r"""A file's name as text that JSON, Parquet and a terminal can hold; :func:`unprintable` takes it back.

    Bytes that are not UTF-8 become ``\xNN``, control characters ``\uNNNN``, and a backslash two.

    >>> printable("caf\udce9\n.png") == r"caf\xe9\u000a.png"
    True
    """

    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return "\\\\" if found[0] == "\\" else f"\\u{code:04x}"

    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029\\\\\ud800-\udfff]", escape, name)


def unprintable(text: str) -> str:
    r"""The name that :func:`printable` made the text from.

    >>> unprintable(printable("a\\b\udcff")) == "a\\b\udcff"
    True
    """

    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return chr(0xDC00 + int(found[1], 16))
        return chr(int(found[2], 16)) if found[2] else "\\"

    return re.sub(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|\\)", plain, text)


_ENDING: Final = re.compile(r"\.(png|jpe?g|webp|bmp|gif|tiff?)$", re.IGNORECASE)
_LONGEST: Final = 200  # bytes; a disk takes 255, of which a number, an ending and a temporary name need some


def file_stem(key: str) -> str:
    """A file name without ending for an image's key, or for a class.

    Of a long one it is the beginning and a hash, of one without letters the hash.

    >>> file_stem("room/1.jpg"), file_stem("v1.5"), file_stem("!?.png")
    ('room-1', 'v1-5', 'image-9d77b752')
    """
    stem = re.sub(r"[^\w-]+", "-", _ENDING.sub("", key)).strip("-")
    if stem and len(stem.encode()) <= _LONGEST:
        return stem
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{stem.encode()[: _LONGEST - 9].decode(errors='ignore') or 'image'}-{digest}"


def without_ending(key: str, endings: Collection[str]) -> str:
    """A key without its ending, if that is one of these, which are in lower case.

    >>> without_ending("seven/1.FLAC", {".flac"}), without_ending("test.parquet:7", {".flac"})
    ('seven/1', 'test.parquet:7')
    """
    ending = Path(key).suffix
    return key.removesuffix(ending) if ending.lower() in endings else key


@dataclass(frozen=True)
class Visit:
    """A folder on the way through all folders."""

    path: Path
    folders: tuple[str, ...] = ()
    """Names of its subfolders, without clutter, sorted."""
    files: tuple[str, ...] = ()
    """Names of its files, likewise."""
    links: frozenset[str] = frozenset()
    """Those of ``files`` that are links."""
    seen: Path | None = None
    """Where the same folder was visited before, behind links; then it is not visited again."""


def walk(folder: Path) -> Iterator[Visit]:
    """A folder and all below it, in order and through links, each once; links in circles are passed over.

    Args:
        folder: Where to begin.
    """
    yield from _walk(folder, (), {})


_Identity: TypeAlias = tuple[int, int]


def _walk(folder: Path, above: tuple[_Identity, ...], seen: dict[_Identity, Path]) -> Iterator[Visit]:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    if here in seen:
        yield Visit(folder, seen=seen[here])
        return
    seen[here] = folder
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as scanned:
        entries = sorted((entry for entry in scanned if not is_clutter(entry.name)), key=lambda entry: entry.name)
    for entry in entries:
        (folders if entry.is_dir() else files).append(entry.name)
    links = frozenset(entry.name for entry in entries if entry.is_symlink())
    yield Visit(folder, tuple(folders), tuple(files), links.intersection(files))
    for name in folders:
        yield from _walk(folder / name, (*above, here), seen)


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
    """Whether a name tells images that belong to no split, such as 'unlabeled'.

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
