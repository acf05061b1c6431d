"""Files that compress and decompress read and write: where results go, and what a compressed file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gridcode.cli.shared.folders import NAMES, sort_of
from gridcode.errors import FileError, GridcodeError, MissingFileError

if TYPE_CHECKING:
    from gridcode.codec.bitstream import Bitstream

SUFFIX = ".gc"
"""Of compressed files."""


@dataclass(frozen=True)
class Job:
    """A file to be read and the one to be written."""

    source: Path
    result: Path


def jobs(source: Path, found: Sequence[Path], out: Path | None, *, ending: str, force: bool) -> list[Job]:
    """Where the result of each file goes.

    Args:
        source: A file, or a folder.
        found: The files: ``source`` itself, or those below it.
        out: The result's file, or a folder; beside a single file where not given.
        ending: Of the results.
        force: Write over what is there.

    Raises:
        GridcodeError: Two results have the same place, or something is there.
    """
    if out is not None and not source.is_dir() and not out.is_dir():
        planned = [Job(source, out)]
    else:
        place = (source if source.is_dir() else source.parent) if out is None else out
        origin = source if source.is_dir() else source.parent
        planned = [Job(file, place / file.relative_to(origin).parent / _renamed(file.name, ending)) for file in found]
    taken: dict[Path, Path] = {}
    for job in planned:
        if job.result in taken:
            raise GridcodeError(
                f"{taken[job.result]} and {job.source} would both be written as {job.result}; rename one"
            )
        if job.result.exists() and not force:
            raise FileError(f"{job.result} is there already; give another --out, or --force to write over it")
        taken[job.result] = job.source
    return planned


def _renamed(name: str, ending: str) -> str:
    """A result's name: photo.jpg -> photo.jpg.gc -> photo.jpg.png, photo.png -> photo.png.gc -> photo.png."""
    if ending == SUFFIX:
        return name + SUFFIX
    name = name.removesuffix(SUFFIX)
    return name if name.lower().endswith(ending) else name + ending


def check_paths(source: Path, what: str, out: Path | None) -> None:
    """Refuse a path at which there is nothing to read, or a folder without one for its results, before all else.

    Raises:
        GridcodeError: There is nothing, or a folder that gridcode wrote.
    """
    if not source.exists():
        raise MissingFileError(f"{source}: no such {what}, nor a folder of them; check the path")
    if source.is_dir() and (sort := sort_of(source)) != "other":
        raise GridcodeError(f"{source} is {NAMES[sort]}, not a folder of {what}s; give another one")
    if source.is_dir() and (out is None or out.is_file()):
        raise GridcodeError("the results of a folder go into a folder: give it as --out")


def read_stream(path: Path) -> Bitstream:
    """A compressed file.

    Raises:
        GridcodeError: It cannot be read, or is none.
    """
    from gridcode.codec.bitstream import MAGIC, parse_stream

    try:
        with open(path, "rb") as file:
            head = file.read(len(MAGIC))
            data = head + file.read() if head == MAGIC else head  # of another file, however large, no more is read
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror or error}); check it") from None
    return parse_stream(data, str(path))


def described(path: Path) -> list[str]:
    """What a compressed file says of itself, a line each.

    Raises:
        GridcodeError: It cannot be read, is none, or is damaged.
    """
    from gridcode.codec.bitstream import VERSION

    stream = read_stream(path)
    for _ in stream.payloads():
        pass  # each is checked
    header, size, image = stream.header, len(stream.data), stream.header.image
    count = header.tokens * header.examples
    lines = [f"compressed tokens: {path}, {size:,} bytes, version {VERSION}, checksums right"]
    if image is not None:
        colours, pixels = "grey" if image.channels == 1 else "RGB", image.height * image.width
        lines.append(f"image: {image.width}x{image.height} {colours}, {8 * size / pixels:.4f} bits per pixel")
    if (sound := header.sound) is not None:
        seconds = sound.samples / sound.rate
        lines.append(
            f"sound: {seconds:,.2f} s, {sound.rate:,} samples per second, {8 * size / seconds:,.0f} bits per second"
        )
    grid = "x".join(map(str, header.grid))
    examples = f"{header.examples:,} grids of " if header.examples > 1 else ""
    lines.append(f"tokens: {examples}{grid} of {header.codes:,} codes, {8 * size / count:.3f} bits per token")
    lines.append(f"coder: {header.coder}; tokenizer {header.model}")
    if header.coding is not None:
        lines.append(f"prior: {header.coding.prior}, in up to {header.coding.steps} steps")
    return lines
