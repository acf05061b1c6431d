"""``gridcode compress``: images, sounds, or the splits of a token store, to small files."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gridcode.cli.codec.files import SUFFIX, Job, check_paths, jobs
from gridcode.cli.codec.store import compress_store
from gridcode.cli.codec.work import Work, worked
from gridcode.cli.shared.folders import sort_of
from gridcode.cli.shared.models import CodecModel
from gridcode.cli.shared.options import FLAT, Reading
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.domains.image.compress import Codec


@dataclass(frozen=True)
class Arguments:
    """Turn an image or a sound, of any size, into a small file; or each one of a folder into one of a folder.

    The file holds the tokenizer's tokens: what decompress gives is like the original, not the same. It needs the model
    that compress used. Transparency is laid over white; CMYK becomes RGB; grey stays grey. A model of sounds
    takes sounds, whose channels become their mean. Of a token store, of any kind of data, each split becomes a file, by
    the model's prior where it has one; nothing of it is lost.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """An image, a folder of images, a sound, a folder of sounds, or a token store."""
    model: Annotated[CodecModel, FLAT]
    out: Path | None = None
    """The file to write, or a folder; beside the input, with .gc behind its name, by default."""
    coder: Literal["raw", "static", "prior"] | None = None
    """raw packs the tokens; static codes them by how often each occurs, and writes that table too; prior codes them by
    the prior's probabilities. By default prior where the model has one."""
    bpp: float | None = None
    """Bits per pixel, at most: of several rates the highest whose file has no more. By default the highest."""
    workers: int = 1
    """Processes that share the files of a folder."""
    force: bool = False
    """Write over files that are there."""
    reading: Annotated[Reading, FLAT] = field(default_factory=Reading)


def run(arguments: list[str]) -> None:
    """Compress.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(Arguments, arguments, prog="gridcode compress")
    if parsed.input.is_dir() and sort_of(parsed.input) == "tokens":
        if parsed.bpp is not None or parsed.workers != 1:
            raise GridcodeError("--bpp and --workers are for images; the tokens of a store are coded as they are")
        compress_store(parsed.input, parsed.model, parsed.out, coder=parsed.coder, force=parsed.force)
        return
    if parsed.bpp is not None and not parsed.bpp > 0:
        raise GridcodeError(f"--bpp must be above 0, got {parsed.bpp}")
    if not parsed.input.exists():
        check_paths(parsed.input, "image or sound", parsed.out)
    on_error = parsed.reading.on_error or "stop"
    work: Work[tuple[int, float]]
    if parsed.model.kind() == "audio":
        from gridcode.cli.audio.compress import CompressSound, sounds_in

        if parsed.bpp is not None or parsed.reading.max_pixels is not None:
            raise GridcodeError("--bpp and --max-pixels are for images; leave them out")
        check_paths(parsed.input, "sound", parsed.out)
        found = sounds_in(parsed.input) if parsed.input.is_dir() else [parsed.input]
        work, nouns, unit = CompressSound(parsed.coder), "sounds", "second"
    else:
        from gridcode.data.folder import ImageFolder

        check_paths(parsed.input, "image", parsed.out)
        found = [parsed.input]
        if parsed.input.is_dir():
            folder = ImageFolder(parsed.input, on_error=on_error, max_pixels=parsed.reading.max_pixels)
            found = [folder.encoded(index) for index in range(len(folder))]
        work, nouns, unit = Compress(parsed.coder, parsed.bpp, parsed.reading.max_pixels), "images", "pixel"
    from gridcode.training.log import ProgressBar

    planned = jobs(parsed.input, found, parsed.out, ending=SUFFIX, force=parsed.force)
    sizes, amounts = 0, 0.0
    with ProgressBar("compress", total=len(planned), show=len(planned) > 1) as bar:
        for number, (job, result) in enumerate(worked(work, parsed.model, planned, parsed.workers), 1):
            if isinstance(result, GridcodeError):
                if on_error == "stop" or not parsed.input.is_dir():
                    raise result
                print(f"skipped: {result}", file=sys.stderr)
                continue
            size, amount = result
            sizes, amounts = sizes + size, amounts + amount
            print(f"{job.result}: {_summary(size, amount, unit)}")
            bar.advance(number)
    if not sizes:
        raise GridcodeError(f"none of the {len(planned)} {nouns} in {parsed.input} was compressed")
    if len(planned) > 1:
        print(f"all: {_summary(sizes, amounts, unit)}")


def _summary(size: int, amount: float, unit: str) -> str:
    """How large a file is, and beside what it holds: so many pixels or seconds."""
    return f"{size:,} bytes, {8 * size / amount:{'.4f' if unit == 'pixel' else ',.0f'}} bits per {unit}"


@dataclass(frozen=True)
class Compress:
    """Turns an image into a file; it says how many bytes that has, and how many pixels the image."""

    coder: Literal["raw", "static", "prior"] | None
    bpp: float | None
    max_pixels: int | None

    def __call__(self, codec: Codec, job: Job) -> tuple[int, int]:
        """Read, compress and write."""
        from gridcode.data.image import decode_image
        from gridcode.files import write_atomic

        image = decode_image(job.source, name=str(job.source), max_pixels=self.max_pixels)
        try:
            data = codec.compress(image, coder=self.coder, bpp=self.bpp)
        except GridcodeError as error:
            raise GridcodeError(f"{job.source}: {error}") from None
        write_atomic(job.result, lambda path: path.write_bytes(data))
        return len(data), image.shape[0] * image.shape[1]
