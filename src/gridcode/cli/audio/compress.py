"""``gridcode compress`` and ``decompress`` of sounds: what is done with each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gridcode.cli.codec.files import Job, read_stream
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.domains.audio.compress import SoundCodec


def sounds_in(folder: Path) -> list[Path]:
    """The sound files of a folder and of those in it, in order.

    Raises:
        GridcodeError: There are none.
    """
    from gridcode.domains.audio.data.decode import SUFFIXES

    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise GridcodeError(f"{folder} holds no sound files ({', '.join(sorted(SUFFIXES))}); give another folder")
    return found


@dataclass(frozen=True)
class CompressSound:
    """Turns a sound into a file; it says how many bytes that has, and how many seconds the sound."""

    coder: Literal["raw", "static", "prior"] | None

    def __call__(self, codec: SoundCodec, job: Job) -> tuple[int, float]:
        """Read, compress and write."""
        from gridcode.domains.audio.data.decode import Recording
        from gridcode.files import write_atomic

        data, seconds = codec.compress_file(Recording(job.source, str(job.source)), coder=self.coder)
        write_atomic(job.result, lambda path: path.write_bytes(data))
        return len(data), seconds


@dataclass(frozen=True)
class DecompressSound:
    """Turns a file into a sound; it says how long that is."""

    def __call__(self, codec: SoundCodec, job: Job) -> str:
        """Read, decompress and write."""
        from gridcode.domains.audio.data.decode import writer

        samples = 0
        parts = codec.parts(read_stream(job.source))
        with writer(job.result, codec.rate) as write:
            for part in parts:
                samples += len(part)
                write(part)
        return f"{samples / codec.rate:.2f} s"
