"""Videos from files: their frames one after the other, each with the time at which it is shown.

    GIF, WebP, PNG     Pillow; each frame says how long it is shown, an image is a video of one frame
    MP4, MOV, MKV, …   PyAV, the extra ``video``

Frames come one by one, and only those that are asked for are turned into pixels: a video of any length costs the memory
of a clip. There is no index of frames in either; what lies before a clip is decoded too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.crop import center_crop, to_channels
from gridcode.data.file_names import printable
from gridcode.data.image import pillow_pixels
from gridcode.errors import FileError, GridcodeError, MissingFileError

BY_PILLOW: Final = frozenset({".gif", ".webp", ".png", ".apng"})
"""Endings of what Pillow reads."""
MOVIES: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})
"""Endings of what PyAV reads."""
SUFFIXES: Final = BY_PILLOW | MOVIES
_SECONDS: Final = 0.1
"""How long a frame is shown that does not say it, or says 0."""


def package() -> Any:
    """PyAV.

    Raises:
        GridcodeError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise GridcodeError(
            f"{', '.join(sorted(MOVIES))} files need the package av ({error}); install it with "
            "pip install 'gridcode[video]', or give GIF or WebP files"
        ) from None
    return av


@dataclass(frozen=True)
class Film:
    """A file of frames, that is opened when it is read.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def name(self) -> str:
        """What errors call it."""
        return printable(str(self.path))

    @cached_property
    def starts(self) -> NDArray[np.float64]:
        """When each frame is first shown, in seconds from the first, (n,); at least one, and they never fall.

        Raises:
            GridcodeError: The file cannot be read, or has no frames.
        """
        with self._reading():
            return np.fromiter(self._movie_starts() if self._is_movie else self._image_starts(), np.float64)

    def read(self, numbers: Sequence[int], size: int) -> NDArray[np.uint8]:
        """Some frames, each the centre of its own, uint8 (T, size, size, 3).

        Args:
            numbers: Which, from 0; they never fall, and the same one may come again.
            size: Side in pixels.

        Raises:
            GridcodeError: The file cannot be read, or has fewer frames.
        """
        wanted, found = set(numbers), dict[int, NDArray[np.uint8]]()
        with self._reading():
            for number, pixels in self._movie(wanted) if self._is_movie else self._by_pillow(wanted):
                found[number] = center_crop(np.ascontiguousarray(to_channels(pixels, 3)), size)
            if len(found) < len(wanted):
                raise ValueError(f"it ends before frame {max(wanted)}")
        return np.stack([found[number] for number in numbers])

    @property
    def _is_movie(self) -> bool:
        return self.path.suffix.lower() in MOVIES

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turns whatever a damaged file makes a decoder trip over into one line that names it."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                yield
        except FileNotFoundError:
            raise MissingFileError(f"{self.name}: no such file; check data.source") from None
        except GridcodeError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise FileError(
                f"{self.name}: not a readable video ({reason}); mend or remove it, or set data.on_error=skip"
            ) from None

    def _image_starts(self) -> Iterator[float]:
        with Image.open(self.path) as image:
            start = 0.0
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
                yield start
                start += image.info.get("duration", 0) / 1000 or _SECONDS

    def _by_pillow(self, wanted: set[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with Image.open(self.path) as image:
            for number in sorted(wanted):
                image.seek(number)
                yield number, pillow_pixels(image.copy())

    def _movie_starts(self) -> Iterator[float]:
        with package().open(str(self.path)) as container:
            stream = _video(container)
            times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
            if not times:
                raise ValueError("no frames")
            yield from (float((time - times[0]) * stream.time_base) for time in times)

    def _movie(self, wanted: set[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with package().open(str(self.path)) as container:
            for number, frame in enumerate(container.decode(_video(container))):
                if number in wanted:
                    yield number, frame.to_ndarray(format="rgb24")
                if number >= max(wanted):
                    return


def _video(container: Any) -> Any:
    """The first stream of images."""
    if not container.streams.video:
        raise ValueError("no stream of images")
    return container.streams.video[0]


def clip_frames(
    starts: Sequence[float] | NDArray[np.float64], *, fps: float | None, stride: int, frames: int, place: float
) -> NDArray[np.int64]:
    """Which frames of a video make a clip, (n,), n <= frames: fewer where the video is shorter.

    Args:
        starts: When each frame is shown, in seconds.
        fps: Frames per second that the video is brought to: at each moment the frame shown then; None for its own.
        stride: Every so many of these frames one is taken.
        frames: How many, at most.
        place: Where in the video the clip lies, from 0, its beginning, to 1, its end.

    >>> clip_frames([0.0, 0.1, 0.2, 0.3], fps=None, stride=2, frames=2, place=1.0).tolist()
    [1, 3]
    >>> clip_frames([0.0, 0.5, 0.6], fps=4.0, stride=1, frames=9, place=0.0).tolist()
    [0, 0, 1]
    """
    shown = np.asarray(starts)
    count = len(shown) if fps is None else int(shown[-1] * fps + 1e-6) + 1
    spare = max(0, count - 1 - (frames - 1) * stride)
    first = min(spare, int(place * (spare + 1)))
    chosen = np.arange(first, min(count, first + frames * stride), stride)
    return chosen if fps is None else np.searchsorted(shown, chosen / fps + 1e-6, side="right") - 1
