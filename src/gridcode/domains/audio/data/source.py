"""Sources of sounds: files in a folder, with or without a subfolder a class, or a column of Parquet files.

digits/0_george_1.wav                          no labels, or with data.labels=name the class '0'
digits/zero/1.wav, digits/one/2.flac           classes 'one', 'zero', by the first subfolder
digits/train/…, digits/test/…                  the split by the folder's name, each as above
digits/train.parquet, digits/test.parquet      column 'audio' {bytes, path}, 'label' (Hugging Face feature Audio)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from gridcode.data.file_names import printable
from gridcode.data.labelled.source import (
    Labelled,
    LabelledFiles,
    LabelledSource,
    folder_class,
    open_all,
    open_split,
    read_part,
)
from gridcode.domains.audio.config import AudioConfig, Labels
from gridcode.domains.audio.data.decode import SUFFIXES, Recording
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Sound(Labelled):
    """One sound of a source, not decoded yet.

    Attributes:
        recording: The file.
    """

    recording: Recording


SoundSource: TypeAlias = LabelledSource[Sound]
"""An ordered, finite set of sounds."""


class SoundFiles(LabelledFiles[Sound]):
    """Sounds in files that are named one by one."""

    def example(self, path: Path, label: int | None, key: str) -> Sound:
        """See :class:`LabelledFiles`."""
        return Sound(Recording(path, printable(str(path))), label=label, key=key)


class SoundTable(LabelledSource[Sound]):
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
        return Sound(recording, label=self._rows.label(index) if self.classes else None, key=self.key(index))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return self._rows.key(index)


def open_sounds(config: AudioConfig, split: Literal["train", "val"]) -> SoundSource:
    """The training or the validation sounds that a config names; those of 'val' are labelled by the classes of 'train'.

    Raises:
        GridcodeError: The source is missing, of no known kind, or cannot be split.
    """
    return open_split(config, split, partial(_part, config), nouns="sounds")


def open_input(config: AudioConfig) -> SoundSource:
    """The sounds to listen to: those of validation where the source has a split of its own, else all.

    Raises:
        GridcodeError: The source is missing or of no known kind.
    """
    return open_all(config.source, partial(_part, config), nouns="sounds")


def _part(config: AudioConfig, place: str, part: tuple[Path, ...]) -> SoundSource:
    """The sounds of one split, or everything at ``place`` where it has no splits."""

    def table(shards: list[Path]) -> SoundSource:
        return SoundTable(shards, name=place, labelled=config.labels != "none")

    class_of = partial(_class_of, labels=config.labels)
    return read_part(place, part, nouns="sounds", suffixes=SUFFIXES, table=table, files=SoundFiles, class_of=class_of)


def _class_of(name: str, folders: Sequence[str], labels: Labels) -> str | None:
    if labels == "name":
        return printable(Path(name).stem.split("_")[0])
    return folder_class(folders) if labels in ("auto", "folder") else None
