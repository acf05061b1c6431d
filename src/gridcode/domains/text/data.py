"""Texts as windows of bytes: a file, a folder of files, and how they are cut, held out and put into batches.

novel.txt, novel.txt.gz                 one text
corpus/*.txt, corpus/DIR/*.md.gz        all files of a folder with a text's ending, in the order of their names

    text    |0 … |64 … |128 … |              | held out … |       windows of 64 bytes, from the text's beginning
                  |random start |                                 a training example

Training example number p starts near a window's beginning, at a place that depends on (seed, p) alone, and never
reaches into what is held out.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.data.file_names import printable, walk
from gridcode.data.source import Source
from gridcode.data.workers import TrainOrder, examples_at
from gridcode.domains.text.config import TextConfig
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.training.seeding import fixed_sample

Bytes: TypeAlias = NDArray[np.uint8]

SUFFIXES: Final = (
    *(".txt", ".text", ".md", ".rst", ".tex", ".html", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".log"),
    *(".py", ".c", ".h", ".cpp", ".rs", ".go", ".java", ".js", ".ts", ".sh"),
)
"""Endings of the files that are read of a folder, alone or with .gz behind; a file that is named is read anyhow."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """A part of a text.

    Attributes:
        key: The text's name in its source.
        start: The part's first byte in the text.
        content: The part, (n,) uint8, n >= 1.
    """

    key: str
    start: int
    content: Bytes

    def windows(self, window: int) -> int:
        """How many windows it has, the last of which may be filled up."""
        return -(-len(self.content) // window)


@dataclass(frozen=True)
class TextBatch:
    """Windows ready for a model.

    Attributes:
        text: uint8, (B, window); zero behind a text's end.
        lengths: int64, (B,): the bytes of each that are the text's.
        keys: Name of each text with the place of the window's first byte, B of them.
    """

    text: Tensor
    lengths: Tensor
    keys: tuple[str, ...]

    @property
    def own(self) -> Tensor:
        """bool, (B, window): which bytes are the text's."""
        return torch.arange(self.text.shape[1]) < self.lengths[:, None]


class TextSource(Source[Stretch]):
    """Windows of texts that are in memory.

    Args:
        name: What to record as the origin.
        stretches: The texts' parts, in order.
        window: Bytes of a window.
        chosen: The windows, by number; all of them where not given.
    """

    in_memory = True

    def __init__(self, name: str, stretches: Sequence[Stretch], window: int, chosen: Sequence[int] | None = None):
        self.name, self.stretches, self.window = name, tuple(stretches), window
        self._ends = np.cumsum([stretch.windows(window) for stretch in stretches])
        self._chosen = range(int(self._ends[-1]) if len(self._ends) else 0) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Stretch:
        """Window number ``index`` alone, shorter than a window at the end of its text."""
        stretch, start = self.place(index)
        return Stretch(stretch.key, stretch.start + start, stretch.content[start : start + self.window])

    def place(self, index: int) -> tuple[Stretch, int]:
        """The stretch of window number ``index``, and where in it the window starts."""
        number = self._chosen[index]
        part = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[part - 1]) if part else 0
        return self.stretches[part], (number - before) * self.window

    def key(self, index: int) -> str:
        """The name of window number ``index``: its text's, and its first byte's place there."""
        stretch, start = self.place(index)
        return f"{stretch.key}:{stretch.start + start}"

    def part(self, count: int) -> TextSource:
        """At most ``count`` windows from all over the source, always the same ones, in its order."""
        return self if count >= len(self) else self._of(fixed_sample(len(self), count).tolist())

    def cut(self, places: range) -> TextSource:
        """See :class:`Source`."""
        return self._of(places)

    def _of(self, places: Iterable[int]) -> TextSource:
        return TextSource(self.name, self.stretches, self.window, [self._chosen[place] for place in places])

    @property
    def size(self) -> int:
        """Bytes of all its texts' parts."""
        return sum(len(stretch.content) for stretch in self.stretches)

    def content(self) -> bytes:
        """All its texts' parts, one behind the other."""
        return b"".join(stretch.content.tobytes() for stretch in self.stretches)


def open_texts(config: TextConfig, split: Literal["train", "val"]) -> TextSource:
    """The training or the validation windows that a config names.

    Raises:
        GridcodeError: A file is missing, empty or damaged, a folder has no texts, or there is nothing to hold out.
    """
    if config.val_source is not None:
        place = config.source if split == "train" else config.val_source
        return TextSource(printable(place), read_texts(place, on_error=config.on_error), config.window)
    texts = read_texts(config.source, on_error=config.on_error)
    name, cuts = printable(config.source), _cuts(texts, config)
    if split == "train":
        kept = [replace(text, content=text.content[:cut]) for text, cut in zip(texts, cuts, strict=True)]
        return TextSource(f"{name} (train)", kept, config.window)
    held = [Stretch(text.key, cut, text.content[cut:]) for text, cut in zip(texts, cuts, strict=True)]
    return TextSource(f"{name} (held out)", [text for text in held if len(text.content)], config.window)


def _cuts(texts: Sequence[Stretch], config: TextConfig) -> list[int]:
    """Where what is held out of each text begins: at a window's first byte, or at the text's end."""
    counts = [text.windows(config.window) for text in texts]
    held = [min(round(config.val_fraction * count), count - 1) for count in counts]
    if not any(held):
        longest = counts.index(max(counts))
        if counts[longest] < 2:
            raise GridcodeError(
                f"{printable(config.source)}: no text is longer than a window of {config.window} bytes, so "
                "that nothing can be held out; give longer texts or set data.val_source"
            )
        held[longest] = 1
    return [
        (count - out) * config.window if out else len(text.content)
        for text, count, out in zip(texts, counts, held, strict=True)
    ]


def read_texts(place: str, *, on_error: Literal["stop", "skip"] = "stop") -> list[Stretch]:
    """Every text at a place, whole.

    Args:
        place: A file, or a folder.
        on_error: At a file of a folder that is empty or damaged: stop, or leave it out and say so.

    Raises:
        GridcodeError: A file is missing, empty or damaged, or a folder has no texts.
    """
    path = Path(place)
    if not path.exists():
        raise MissingFileError(f"{place}: no such file or folder; give data.source the path of a text")
    if not path.is_dir():
        return [Stretch(printable(path.name), 0, read_bytes(path))]
    found, files = list[Stretch](), list(_files(path))
    for key, file in files:
        try:
            found.append(Stretch(printable(key), 0, read_bytes(file)))
        except GridcodeError as error:
            if on_error == "stop":
                raise
            _log.warning("skipped %s", error)
    if not found:
        why = f"none of its {len(files)} texts can be read" if files else f"no texts here ({', '.join(SUFFIXES)})"
        raise FileError(f"{printable(place)}: {why}; check data.source")
    return found


def read_bytes(path: Path) -> Bytes:
    """The bytes of a text, (n,) uint8, n >= 1; those that are packed, where its name ends in .gz.

    Raises:
        GridcodeError: It cannot be read, is damaged, or is empty.
    """
    where = printable(str(path))
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{where}: not a whole gzip file ({error}); replace it, or set data.on_error=skip") from None
    except OSError as error:
        raise FileError(f"{where}: cannot be read ({error.strerror}); mend it, or set data.on_error=skip") from None
    if not content:
        raise FileError(f"{where}: empty; a text has at least one byte: remove it, or set data.on_error=skip")
    return np.frombuffer(content, np.uint8)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name inside the folder, and path, of every text in it."""
    for visit in walk(folder):
        inside = visit.path.relative_to(folder).parts
        for name in visit.files:
            if name.lower().removesuffix(".gz").endswith(SUFFIXES):
                yield "/".join((*inside, name)), visit.path / name


def train_batches(source: TextSource, order: TrainOrder) -> Iterator[TextBatch]:
    """Batches of windows at random places, without end."""
    window = source.window
    for positions in order.positions():
        parts = list[Stretch]()
        for index, generator in examples_at(positions, count=len(source), seed=order.seed):
            assert generator is not None
            stretch, start = source.place(index)
            start += int(generator.integers(window)) - window // 2
            start = max(0, min(start, len(stretch.content) - window))
            parts.append(Stretch(stretch.key, stretch.start + start, stretch.content[start : start + window]))
        yield as_batch(parts, window)


def eval_batches(source: TextSource, *, batch_size: int) -> Iterator[TextBatch]:
    """Every window once, in order.

    Raises:
        GridcodeError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise GridcodeError(f"batch_size must be at least 1, not {batch_size}")
    for start in range(0, len(source), batch_size):
        places = range(start, min(start + batch_size, len(source)))
        yield as_batch([source[place] for place in places], source.window)


def as_batch(windows: Sequence[Stretch], window: int) -> TextBatch:
    """Windows one below the other, filled up with zero bytes.

    >>> as_batch([Stretch("a", 0, np.frombuffer(b"hey", np.uint8))], 4).text.tolist()
    [[104, 101, 121, 0]]
    """
    filled = np.zeros((len(windows), window), np.uint8)
    for row, one in zip(filled, windows, strict=True):
        row[: len(one.content)] = one.content
    lengths = torch.tensor([len(one.content) for one in windows])
    return TextBatch(torch.from_numpy(filled), lengths, tuple(f"{one.key}:{one.start}" for one in windows))
