"""Sources of sounds: files in a folder, with or without a subfolder a class, or a column of Parquet files.

digits/0_george_1.wav                          no labels, or with data.labels=name the class '0'
digits/zero/1.wav, digits/one/2.flac           classes 'one', 'zero', by the first subfolder
digits/train/…, digits/test/…                  the split by the folder's name, each as above
digits/train.parquet, digits/test.parquet      column 'audio' {bytes, path}, 'label' (Hugging Face feature Audio)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gridcode.data.file_names import printable, walk
from gridcode.data.layout import layout_of, shards_of
from gridcode.data.source import Part, Source, split_keys
from gridcode.domains.audio.config import AudioConfig, Labels
from gridcode.domains.audio.data.decode import SUFFIXES, Recording
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.training.seeding import fixed_sample


@dataclass(frozen=True)
class Sound:
    """One sound of a source, not decoded yet.

    Attributes:
        recording: The file.
        label: Position in the source's ``classes``, or None.
        key: Name inside its source; unique, and the same on every run.
    """

    recording: Recording
    label: int | None
    key: str


class SoundSource(Source[Sound]):
    """An ordered, finite set of sounds."""

    classes: tuple[str, ...] = ()
    """Class names in label order; empty where the sounds have no labels."""

    def key(self, index: int) -> str:
        """The key of sound number ``index``."""
        return self[index].key


class SoundFiles(SoundSource):
    """Sound files that are named one by one.

    Args:
        name: What to record as the origin.
        files: Key, class and path of each; the class None for none.
    """

    def __init__(self, name: str, files: Iterable[tuple[str, str | None, Path]]) -> None:
        self.name = printable(name)
        self._files = tuple(files)
        told = {label for _, label, _ in self._files if label is not None}
        self.classes = tuple(sorted(told))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sound:
        key, label, path = self._files[index]
        number = self.classes.index(label) if self.classes and label is not None else None
        return Sound(Recording(path, printable(str(path))), number, printable(key))


class SoundTable(SoundSource):
    """The rows of Parquet files.

    Args:
        paths: The files (shards), in order; all of one schema.
        name: What to record as the origin.
        labelled: Whether to read the labels.

    Raises:
        GridcodeError: A file is damaged or has no column of sounds.
    """

    def __init__(self, paths: Sequence[Path], *, name: str, labelled: bool = True) -> None:
        from gridcode.data.parquet import ParquetImages, parquet_schema

        names = parquet_schema(paths[0]).names
        column = next((column for column in ("audio", "sound", "wav", "flac") if column in names), None)
        if column is None:
            raise GridcodeError(
                f"{paths[0]}: no column 'audio' {{bytes, path}} among {', '.join(names)}; write it with Hugging Face "
                "datasets, feature Audio"
            )
        self._rows = ParquetImages(paths, name=name, image_column=column)
        self.name = self._rows.name
        self.classes = self._rows.classes if labelled else ()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sound:
        recording = Recording(self._rows.encoded(index), self._rows.where(index))
        return Sound(recording, self._rows.label(index) if self.classes else None, self.key(index))

    def key(self, index: int) -> str:
        """See :class:`SoundSource`."""
        return self._rows.key(index)


class SoundPart(Part[Sound], SoundSource):
    """Some sounds of a source, in the order given."""

    def __init__(self, source: SoundSource, indices: Sequence[int], *, name: str) -> None:
        super().__init__(source, indices, name=name)
        self.classes = source.classes
        self._whole = source

    def key(self, index: int) -> str:
        """See :class:`SoundSource`."""
        return self._whole.key(self._indices[index])


class Renamed(SoundSource):
    """A source whose labels are renumbered to the training classes; without classes it has no labels.

    Raises:
        GridcodeError: It has a class that is none of these.
    """

    def __init__(self, source: SoundSource, classes: Sequence[str]) -> None:
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

    def __getitem__(self, index: int) -> Sound:
        sound = self._whole[index]
        return sound if sound.label is None else replace(sound, label=self._number.get(sound.label))

    def key(self, index: int) -> str:
        """See :class:`SoundSource`."""
        return self._whole.key(index)


def open_sounds(config: AudioConfig, split: Literal["train", "val"]) -> SoundSource:
    """The training or the validation sounds that a config names; those of 'val' are labelled by the classes of 'train'.

    Raises:
        GridcodeError: The source is missing, of no known kind, or cannot be split.
    """
    layout = layout_of(_path(config.source))
    pool = _part(config, config.source, layout.train)
    own_val = bool(config.val_source or layout.val)
    classes = pool.classes if len(pool.classes) > 1 else ()  # one class is none
    found = pool if own_val else _held(pool, config, train=split == "train")
    if own_val and split == "val":
        place = config.val_source or config.source
        parts = layout_of(_path(place))
        found = _part(config, place, parts.val or parts.train)
    return found if found.classes == classes else Renamed(found, classes)


def open_input(config: AudioConfig) -> SoundSource:
    """The sounds to listen to: those of validation where the source has a split of its own, else all.

    Raises:
        GridcodeError: The source is missing or of no known kind.
    """
    layout = layout_of(_path(config.source))
    return _part(config, config.source, layout.val or layout.train)


def some_of(source: SoundSource, count: int) -> SoundSource:
    """At most ``count`` sounds from all over a source, always the same ones, in its order."""
    if count >= len(source):
        return source
    return SoundPart(source, fixed_sample(len(source), count).tolist(), name=source.name)


def _held(pool: SoundSource, config: AudioConfig, *, train: bool) -> SoundSource:
    if len(pool) < 2:
        raise GridcodeError(f"{pool.name}: one sound cannot be split; add sounds or set data.val_source")
    keys = [pool.key(index) for index in range(len(pool))]
    kept, held = split_keys(keys, config.val_fraction, seed=config.seed)
    name = f"{pool.name} (train)" if train else f"{pool.name} (held out)"
    return SoundPart(pool, kept if train else held, name=name)


def _path(source: str) -> Path:
    path = Path(source)
    if not path.exists():
        raise MissingFileError(f"{source}: no such file or folder; give data.source the path of a folder of sounds")
    return path


def _part(config: AudioConfig, place: str, part: tuple[Path, ...]) -> SoundSource:
    """The files of one split, or everything at ``place`` where it has no splits."""
    paths = part or (_path(place),)
    whole = paths[0]
    shards = list(paths) if whole.suffix.lower() == ".parquet" else shards_of(whole) if whole.is_dir() else []
    if shards:
        return SoundTable(shards, name=place, labelled=config.labels != "none")
    if whole.is_file():
        return SoundFiles(place, [(whole.name, _class_of(whole.name, (), config.labels), whole)])
    files = list(_files(whole, config.labels))
    if not files:
        raise GridcodeError(f"{place}: no sounds here ({', '.join(sorted(SUFFIXES))}); check data.source")
    return SoundFiles(place, files)


def _files(folder: Path, labels: Labels) -> Iterator[tuple[str, str | None, Path]]:
    for visit in walk(folder):
        inside = visit.path.relative_to(folder).parts
        for name in visit.files:
            if Path(name).suffix.lower() in SUFFIXES:
                yield "/".join((*inside, name)), _class_of(name, inside, labels), visit.path / name


def _class_of(name: str, folders: Sequence[str], labels: Labels) -> str | None:
    if labels == "name":
        return printable(Path(name).stem.split("_")[0])
    return printable(folders[0]) if folders and labels in ("auto", "folder") else None
