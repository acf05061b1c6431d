"""One sound file as a waveform: mono, float32 in [-1, 1], at the rate asked for; whole, in parts, or as a stream.

    file ──soundfile──> frames (n, channels) ──mean──> mono ──soxr──> samples at ``rate``

Whatever libsndfile decodes is read: WAV of 8, 16, 24 and 32 bits and of floats, FLAC, Ogg, MP3, AIFF. Only the part
asked for is decoded, so that a file of hours costs no memory. Both packages are the extra ``audio``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import gcd
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import file_atomic

SUFFIXES: Final = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au", ".caf", ".opus"})
"""What is taken for a sound file in a folder."""
_MARGIN: Final = 64
"""Frames read on either side of a part that is resampled, so that its ends have the filter's whole support."""


Waveform = NDArray[np.float32]
"""float32, (T,)."""


def package(name: str) -> Any:
    """A package of the extra ``audio``.

    Raises:
        GridcodeError: It is not installed.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is missing
        raise GridcodeError(
            f"sounds need the package {name} ({error}); install it with pip install 'gridcode[audio]'"
        ) from None


@dataclass(frozen=True)
class Recording:
    """A sound file, or its bytes, that is opened when it is read.

    Attributes:
        file: Its path, or its bytes.
        name: What an error calls it.
    """

    file: Path | bytes
    name: str

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The opened ``soundfile.SoundFile``.

        Raises:
            GridcodeError: It is missing, no sound file, damaged, or holds no samples.
        """
        soundfile = package("soundfile")
        if isinstance(self.file, Path) and not self.file.is_file():
            raise MissingFileError(f"{self.name}: there is no such file; check data.source")
        try:
            with soundfile.SoundFile(
                io.BytesIO(self.file) if isinstance(self.file, bytes) else _name(self.file)
            ) as opened:
                if not opened.frames:
                    raise FileError(f"{self.name}: holds no samples; remove it, or set data.on_error=skip")
                yield opened
        except GridcodeError:
            raise
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            reason = str(error).rstrip(".").split(": ")[-1]
            raise FileError(
                f"{self.name}: not a readable sound file ({reason}); replace it, or set data.on_error=skip"
            ) from None

    def length(self, rate: int) -> int:
        """Samples of the whole file at a rate."""
        with self.open() as opened:
            return self._samples(opened, rate)

    def read(self, rate: int, start: int = 0, count: int | None = None) -> Waveform:
        """A part of the file, (T,) in [-1, 1].

        Args:
            rate: Samples per second of the result.
            start: First sample, at that rate.
            count: Samples, at most; the rest of the file where it is not given.

        Raises:
            GridcodeError: The file cannot be read, or a sample is not finite.
        """
        with self.open() as opened:
            if opened.samplerate == rate:
                opened.seek(min(start, opened.frames))
                return self._mono(opened.read(-1 if count is None else count, dtype="float32", always_2d=True))
            # Every ``step`` frames a sample lies on a frame: a part that begins there has the whole file's phase.
            shared = gcd(opened.samplerate, rate)
            step, samples_a_step = opened.samplerate // shared, rate // shared
            margin = _MARGIN * max(1, -(-opened.samplerate // rate))
            steps = max(0, start * opened.samplerate // rate - margin) // step
            frames = -1 if count is None else -(-(start + count) * opened.samplerate // rate) + margin - steps * step
            opened.seek(min(steps * step, opened.frames))
            mono = self._mono(opened.read(frames, dtype="float32", always_2d=True))
            before, left = start - steps * samples_a_step, self._samples(opened, rate) - start
            samples: Waveform = package("soxr").resample(mono, opened.samplerate, rate)[before:]
            return samples[: left if count is None else min(count, left)]

    def blocks(self, rate: int, *, frames: int = 1 << 18) -> Iterator[Waveform]:
        """The whole file, a part after the other, in bounded memory: parts (T_i,) whose lengths differ.

        Args:
            rate: Samples per second of the result.
            frames: Frames of the file that are decoded at a time.

        Raises:
            GridcodeError: As :meth:`read`.
        """
        with self.open() as opened:
            resampler, given = None, False
            if opened.samplerate != rate:
                resampler = package("soxr").ResampleStream(opened.samplerate, rate, 1, dtype="float32")
            done = 0
            while done < opened.frames:
                part = self._mono(opened.read(frames, dtype="float32", always_2d=True))
                if not len(part):
                    break
                done += len(part)
                if resampler is not None:
                    part = resampler.resample_chunk(part, last=done >= opened.frames)
                if len(part):
                    given = True
                    yield part
            if not given:  # shorter than a sample at this rate: what :meth:`length` calls one
                yield np.zeros(1, np.float32)

    @staticmethod
    def _samples(opened: Any, rate: int) -> int:
        samples: int = round(opened.frames * rate / opened.samplerate)
        return max(1, samples)

    def _mono(self, frames: NDArray[np.float32]) -> Waveform:
        mono: Waveform = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise FileError(f"{self.name}: holds NaN or infinite samples; write it again, or set data.on_error=skip")
        return np.clip(mono, -1, 1)


def _name(path: Path) -> str | bytes:
    """A path as soundfile takes it: in bytes, because a file's name need not be UTF-8; on Windows it is text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def encode(samples: Waveform, rate: int, *, format: str = "FLAC") -> bytes:
    """A waveform in [-1, 1] as a mono file of 16 bits; what lies beyond is clipped.

    Args:
        samples: (T,).
        rate: Samples per second.
        format: ``FLAC`` or ``WAV``.
    """
    buffer = io.BytesIO()
    package("soundfile").write(buffer, np.clip(samples, -1, 1), rate, format=format, subtype="PCM_16")
    return buffer.getvalue()


@contextmanager
def writer(path: Path, rate: int) -> Iterator[Callable[[Waveform], None]]:
    """A mono file of 16 bits that is written part by part, and is there only when all of it is.

    Args:
        path: The file; its ending, ``.flac`` or ``.wav``, is its format.
        rate: Samples per second.

    Yields:
        A function that appends samples (T,); what lies outside [-1, 1] is clipped.

    Raises:
        GridcodeError: It cannot be written, or has another ending.
    """
    soundfile, kind = package("soundfile"), path.suffix[1:].upper()
    if kind not in ("FLAC", "WAV"):
        raise FileError(f"{path}: sounds are written as .flac or .wav; give it one of these endings")
    with file_atomic(path) as temporary:
        try:
            with soundfile.SoundFile(_name(temporary), "w", rate, 1, subtype="PCM_16", format=kind) as file:
                yield lambda samples: file.write(np.clip(samples, -1, 1))
        except soundfile.SoundFileError as error:
            reason = str(error).rstrip(".").split(": ")[-1]
            raise FileError(
                f"{path} cannot be written ({reason}); make room there, or choose another place or format"
            ) from None


def write(path: Path, samples: Waveform, rate: int) -> None:
    """Write a waveform (T,) as a mono file of 16 bits.

    Raises:
        GridcodeError: It cannot be written.
    """
    with writer(path, rate) as append:
        append(samples)
