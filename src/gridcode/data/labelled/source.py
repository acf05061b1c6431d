"""Sources of examples that may have a class each, whatever they are: parts, renumbered classes, splits.

A kind of data says how the files of one split are read; :func:`open_split` finds the splits, holds examples out where
there are none, and labels the validation examples by the classes of the training examples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from gridcode.data.file_names import printable, walk
from gridcode.data.layout import layout_of, shards_of
from gridcode.data.source import Part, Source, split_keys
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.training.seeding import fixed_sample


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """An example; a kind's own adds what it is an example of.

    Attributes:
        label: Position in the source's ``classes``, or None.
        key: Name inside its source; unique, and the same on every run.
    """

    label: int | None
    key: str


ExampleT = TypeVar("ExampleT", bound=Labelled)


class LabelledSource(Source[ExampleT]):
    """An ordered, finite set of examples of one kind of data."""

    classes: tuple[str, ...] = ()
    """Class names in label order; empty where the examples have no labels."""

    def key(self, index: int) -> str:
        """The key of example number ``index``."""
        return self[index].key


class LabelledPart(Part[ExampleT], LabelledSource[ExampleT]):
    """Some examples of a source, in the order given."""

    def __init__(self, source: LabelledSource[ExampleT], indices: Sequence[int], *, name: str) -> None:
        super().__init__(source, indices, name=name)
        self.classes = source.classes
        self._whole = source

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return self._whole.key(self._indices[index])


class Renamed(LabelledSource[ExampleT]):
    """A source whose labels are renumbered to the training classes; without classes it has no labels.

    Raises:
        GridcodeError: It has a class that is none of these.
    """

    def __init__(self, source: LabelledSource[ExampleT], classes: Sequence[str]) -> None:
        unknown = next((name for name in source.classes if name not in classes), None)
        if classes and unknown is not None:
            raise GridcodeError(
                f"{source.name}: class '{unknown}' is not among the {len(classes)} training classes; rename it or use "
                "another data.val_source"
            )
        self.name, self.classes, self._whole = source.name, tuple(classes), source
        self._number = {number: classes.index(name) for number, name in enumerate(source.classes) if classes}

    def __len__(self) -> int:
        return len(self._whole)

    def __getitem__(self, index: int) -> ExampleT:
        example = self._whole[index]
        if example.label is None:
            return example
        return replace(example, label=self._number.get(example.label))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return self._whole.key(index)


class LabelledFiles(LabelledSource[ExampleT]):
    """Files that are named one by one, an example each; a kind says in :meth:`example` what it makes of one.

    Args:
        name: What to record as the origin.
        files: Key, class and path of each; the class None for none.
    """

    def __init__(self, name: str, files: Iterable[tuple[str, str | None, Path]]) -> None:
        self.name = printable(name)
        self._files = tuple(files)
        self.classes = tuple(sorted({label for _, label, _ in self._files if label is not None}))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> ExampleT:
        _, label, path = self._files[index]
        return self.example(path, None if label is None else self.classes.index(label), self.key(index))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return printable(self._files[index][0])

    @abstractmethod
    def example(self, path: Path, label: int | None, key: str) -> ExampleT:
        """The example of a file, which is not read yet."""


def some_of(source: LabelledSource[ExampleT], count: int) -> LabelledSource[ExampleT]:
    """At most ``count`` examples from all over a source, always the same ones, in its order."""
    if count >= len(source):
        return source
    return LabelledPart(source, fixed_sample(len(source), count).tolist(), name=source.name)


def open_split(
    config: Any,
    split: Literal["train", "val"],
    read: Callable[[str, tuple[Path, ...]], LabelledSource[ExampleT]],
    *,
    nouns: str,
) -> LabelledSource[ExampleT]:
    """The training or the validation examples of files; those of 'val' are labelled by the classes of 'train'.

    Args:
        config: Has ``source``, ``val_source``, ``val_fraction`` and ``seed``.
        split: Which.
        read: The examples of a place and the paths of a split there, or of no paths: all of the place.
        nouns: What the examples are called in errors.

    Raises:
        GridcodeError: The source is missing, of no known kind, or cannot be split.
    """
    layout = layout_of(existing(config.source, nouns=nouns))
    pool = read(config.source, layout.train)
    own_val = bool(config.val_source or layout.val)
    classes = pool.classes if len(pool.classes) > 1 else ()  # one class is none
    found = pool if own_val else _held(pool, config, train=split == "train", noun=nouns.removesuffix("s"))
    if own_val and split == "val":
        place = config.val_source or config.source
        parts = layout_of(existing(place, nouns=nouns))
        found = read(place, parts.val or parts.train)
    return found if found.classes == classes else Renamed(found, classes)


def open_all(
    source: str, read: Callable[[str, tuple[Path, ...]], LabelledSource[ExampleT]], *, nouns: str
) -> LabelledSource[ExampleT]:
    """The examples of a place to use: those of validation where it has a split of its own, else all.

    Raises:
        GridcodeError: The source is missing or of no known kind.
    """
    layout = layout_of(existing(source, nouns=nouns))
    return read(source, layout.val or layout.train)


def _held(pool: LabelledSource[ExampleT], config: Any, *, train: bool, noun: str) -> LabelledSource[ExampleT]:
    if len(pool) < 2:
        raise GridcodeError(f"{pool.name}: one {noun} cannot be split; add {noun}s or set data.val_source")
    keys = [pool.key(index) for index in range(len(pool))]
    kept, held = split_keys(keys, config.val_fraction, seed=config.seed)
    name = f"{pool.name} (train)" if train else f"{pool.name} (held out)"
    return LabelledPart(pool, kept if train else held, name=name)


def read_part(
    place: str,
    part: tuple[Path, ...],
    *,
    nouns: str,
    suffixes: frozenset[str],
    files: Callable[[str, list[tuple[str, str | None, Path]]], LabelledSource[ExampleT]],
    table: Callable[[list[Path]], LabelledSource[ExampleT]] | None = None,
    class_of: Callable[[str, Sequence[str]], str | None] | None = None,
) -> LabelledSource[ExampleT]:
    """The examples of one split, or of everything at ``place`` where it has no splits.

    Args:
        place: The source, as a person named it.
        part: The split's paths; none for everything.
        nouns: What the examples are called in errors.
        suffixes: Endings of files that are examples.
        files: Makes a source of files, from its name and the key, the class and the path of each.
        table: Reads Parquet files, where a kind has some.
        class_of: The class of a file's name and the folders that it is in; that of the first folder if not given.

    Raises:
        GridcodeError: There is nothing.
    """
    whole = (part or (existing(place, nouns=nouns),))[0]
    if table is not None and whole.suffix.lower() == ".parquet":
        return table(list(part or (whole,)))
    if table is not None and whole.is_dir() and (shards := shards_of(whole)):
        return table(shards)
    class_of = class_of or (lambda _, folders: folder_class(folders))
    if whole.is_file():
        return files(place, [(whole.name, class_of(whole.name, ()), whole)])
    found = [(key, class_of(path.name, folders), path) for key, folders, path in files_below(whole, suffixes)]
    if not found:
        raise GridcodeError(f"{place}: no {nouns} here ({', '.join(sorted(suffixes))}); check data.source")
    return files(place, found)


def existing(source: str, *, nouns: str) -> Path:
    """The path of a source.

    Raises:
        GridcodeError: There is nothing.
    """
    path = Path(source)
    if not path.exists():
        raise MissingFileError(f"{source}: no such file or folder; give data.source the path of a folder of {nouns}")
    return path


def files_below(folder: Path, suffixes: Sequence[str] | frozenset[str]) -> Iterator[tuple[str, tuple[str, ...], Path]]:
    """Every file of some endings in a folder and below: key, the folders that it is in, and path."""
    for visit in walk(folder):
        inside = visit.path.relative_to(folder).parts
        for name in visit.files:
            if Path(name).suffix.lower() in suffixes:
                yield "/".join((*inside, name)), inside, visit.path / name


def folder_class(folders: Sequence[str]) -> str | None:
    """The class that the first of the folders names which a file is in; None in none.

    >>> folder_class(("cat", "old")), folder_class(())
    ('cat', None)
    """
    return printable(folders[0]) if folders else None
