"""Sources of clips: built-in moving scenes, or videos in a folder with or without a subfolder a class.

motion                                          four motions, drawn
videos/1.gif, videos/2.mp4                        no classes
videos/walk/1.gif, videos/run/2.webp              classes 'run', 'walk', by the first subfolder
train/walk/1.gif, test/walk/9.gif               the split by the folder's name
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridcode.data.labelled.source import Labelled, LabelledFiles, LabelledSource, open_all, open_split, read_part
from gridcode.domains.video.config import MOTION, VideoConfig
from gridcode.domains.video.data.decode import SUFFIXES, Film, clip_frames
from gridcode.domains.video.data.moving import FPS, MOTIONS, draw_clip
from gridcode.errors import FileError, GridcodeError

Frames: TypeAlias = NDArray[np.uint8]
"""(T, H, W, 3)."""
KEPT_BYTES: Final = 2**28
"""Drawn clips that a source keeps, in bytes; those beyond are drawn anew each time."""


class Footage(ABC):
    """What frames come from."""

    @property
    @abstractmethod
    def fps(self) -> float:
        """Frames per second, before ``stride`` leaves some out.

        Raises:
            GridcodeError: They cannot be read.
        """

    @abstractmethod
    def frames(self, place: float) -> Frames:
        """At least one frame, in order, at most as many as a clip has.

        Args:
            place: Where in a longer video the clip lies, from 0, its beginning, to 1, its end.

        Raises:
            GridcodeError: They cannot be read.
        """


@dataclass(frozen=True)
class Drawn(Footage):
    """A moving scene.

    Attributes:
        source: Draws it, or has kept it.
        index: Its number there.
    """

    source: Motion
    index: int

    @property
    def fps(self) -> float:
        """See :class:`Footage`."""
        return self.source.fps

    def frames(self, place: float) -> Frames:
        """See :class:`Footage`."""
        return self.source.drawn(self.index)


@dataclass(frozen=True)
class Filmed(Footage):
    """A part of a video.

    Attributes:
        film: The video.
        config: How it is read.
    """

    film: Film
    config: VideoConfig

    @property
    def fps(self) -> float:
        """See :class:`Footage`."""
        starts = self.film.starts
        return self.config.fps or ((len(starts) - 1) / float(starts[-1]) if starts[-1] > 0 else FPS)

    def frames(self, place: float) -> Frames:
        """See :class:`Footage`."""
        config = self.config
        numbers = clip_frames(self.film.starts, fps=config.fps, stride=config.stride, frames=config.frames, place=place)
        return self.film.read(numbers.tolist(), config.size)


@dataclass(frozen=True)
class Clip(Labelled):
    """One clip of a source, not read yet.

    Attributes:
        footage: What its frames come from.
    """

    footage: Footage

    def read(self, config: VideoConfig, place: float) -> Frames:
        """``config.frames`` frames, (T, H, W, 3).

        Raises:
            GridcodeError: They cannot be read, or are too few and ``config.fewer`` is 'refuse'.
        """
        found = self.footage.frames(place)
        if len(found) < config.frames and config.fewer == "refuse":
            raise FileError(
                f"{self.key}: {len(found)} frames, fewer than data.frames={config.frames}; set data.fewer=repeat to "
                "repeat the last one"
            )
        return found[np.minimum(np.arange(config.frames), len(found) - 1)]


ClipSource: TypeAlias = LabelledSource[Clip]
"""An ordered, finite set of clips."""


class Motion(LabelledSource[Clip]):
    """Moving scenes of a seed, numbers ``start`` to ``start + count - 1``.

    >>> Motion(VideoConfig(), start=0, count=10)[7].key
    'approach-7'
    """

    classes = MOTIONS
    name = MOTION

    def __init__(self, config: VideoConfig, *, start: int, count: int) -> None:
        self._config, self._start, self._count = config, start, count
        self.fps = config.fps or FPS
        self._kept = dict[int, Frames]()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Clip:
        return Clip(Drawn(self, index), label=(self._start + index) % len(MOTIONS), key=self.key(index))

    def key(self, index: int) -> str:
        """See :class:`LabelledSource`."""
        return f"{MOTIONS[(self._start + index) % len(MOTIONS)]}-{self._start + index}"

    def drawn(self, index: int) -> Frames:
        """The frames of a clip, (T, H, W, 3)."""
        if index in self._kept:
            return self._kept[index]
        config, number = self._config, self._start + index
        frames = draw_clip(
            config.seed,
            number,
            frames=config.frames,
            stride=config.stride,
            size=config.size,
            objects=config.objects,
            fps=self.fps,
        )
        if (len(self._kept) + 1) * frames.nbytes <= KEPT_BYTES:
            self._kept[index] = frames
        return frames


class FilmFiles(LabelledFiles[Clip]):
    """Videos that are named one by one.

    Args:
        name: What to record as the origin.
        files: Key, class and path of each; the class None for none.
        config: How they are read.
    """

    def __init__(self, name: str, files: list[tuple[str, str | None, Path]], config: VideoConfig) -> None:
        super().__init__(name, files)
        self._config = config
        self._films = {path: Film(path) for _, _, path in files}

    def example(self, path: Path, label: int | None, key: str) -> Clip:
        """See :class:`LabelledFiles`."""
        return Clip(Filmed(self._films[path], self._config), label=label, key=key)


def open_clips(config: VideoConfig, split: Literal["train", "val"]) -> ClipSource:
    """The training or the validation clips that a config names; those of 'val' are labelled by the classes of 'train'.

    Raises:
        GridcodeError: The source is missing, of no known kind, or cannot be split.
    """
    if config.source != MOTION:
        return open_split(config, split, partial(_part, config), nouns="videos")
    if split == "train":
        return Motion(config, start=0, count=config.train_count)
    return Motion(config, start=config.train_count, count=config.val_count)


def open_input(config: VideoConfig) -> ClipSource:
    """The clips to use: those of validation where the source has a split of its own, else all.

    Raises:
        GridcodeError: The source is missing or of no known kind.
    """
    if config.source == MOTION:
        return open_clips(config, "val")
    return open_all(config.source, partial(_part, config), nouns="videos")


def frame_rate(config: VideoConfig, source: ClipSource) -> float:
    """Frames per second of the clips of a source, by the first video that can be read; 8 where none can."""
    for index in range(len(source)):
        try:
            return source[index].footage.fps / config.stride
        except GridcodeError:
            continue
    return FPS / config.stride


def _part(config: VideoConfig, place: str, part: tuple[Path, ...]) -> ClipSource:
    """The videos of one split, or everything at ``place`` where it has no splits."""
    return read_part(place, part, nouns="videos", suffixes=SUFFIXES, files=partial(FilmFiles, config=config))
