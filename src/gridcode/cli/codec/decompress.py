"""``gridcode decompress``: small files to images, to sounds, or to a token store, again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gridcode.cli.codec.files import SUFFIX, Job, check_paths, jobs, read_stream
from gridcode.cli.codec.store import decompress_store
from gridcode.cli.codec.work import Work, worked
from gridcode.cli.shared.kinds import KINDS
from gridcode.cli.shared.models import CodecModel
from gridcode.cli.shared.options import FLAT
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.domains.image.compress import Codec


@dataclass(frozen=True)
class Arguments:
    """Turn a file of gridcode compress into an image (PNG) or a sound (FLAC or WAV); or all the files of a folder.

    Files of a token store's splits become the store.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """A file of gridcode compress, or a folder of them."""
    model: Annotated[CodecModel, FLAT]
    out: Path | None = None
    """The PNG, FLAC or WAV file to write, or a folder; beside the compressed file by default. Of a token store its
    folder."""
    force: bool = False
    """Write over files that are there."""
    workers: int = 1
    """Processes that share the files of a folder."""
    max_pixels: int | None = None
    """Refuse an image of more pixels; 89 million by default."""


def run(arguments: list[str]) -> None:
    """Decompress.

    Raises:
        GridcodeError: The command line or what it names is wrong, or a file is damaged.
    """
    parsed = parse(Arguments, arguments, prog="gridcode decompress")
    check_paths(parsed.input, "compressed file", parsed.out)
    found = [parsed.input]
    if parsed.input.is_dir():
        found = sorted(path for path in parsed.input.rglob(f"*{SUFFIX}") if path.is_file())
        if not found:
            raise GridcodeError(f"{parsed.input} holds no files that end in {SUFFIX}; give another folder")
    header = read_stream(found[0]).header
    if header.image is None and header.sound is None:
        if parsed.workers != 1:
            raise GridcodeError(
                "--workers is for images and sounds; the splits of a token store are decoded one after another"
            )
        decompress_store(found, parsed.model, parsed.out, force=parsed.force)
        return
    from gridcode.training.log import ProgressBar

    work: Work[str]
    if (kind := parsed.model.kind()) == "audio":
        from gridcode.cli.audio.compress import DecompressSound

        if parsed.max_pixels is not None:
            raise GridcodeError("--max-pixels is for images; leave it out")
        work, ending = DecompressSound(), ".flac"
    else:
        work, ending = Decompress(parsed.max_pixels), ".png"
    if (kind == "audio") != (header.sound is not None):
        raise GridcodeError(
            f"{found[0]} holds a {'image' if header.image else 'sound'}, and --model {parsed.model.model} is of "
            f"{KINDS[kind].nouns}; give the model it was made by"
        )
    planned = jobs(parsed.input, found, parsed.out, ending=ending, force=parsed.force)
    with ProgressBar("decompress", total=len(planned), show=len(planned) > 1) as bar:
        for number, (job, result) in enumerate(worked(work, parsed.model, planned, parsed.workers), 1):
            if isinstance(result, GridcodeError):
                raise result
            print(f"{job.result}: {result}")
            bar.advance(number)


@dataclass(frozen=True)
class Decompress:
    """Turns a file into an image; it says how large that is."""

    max_pixels: int | None

    def __call__(self, codec: Codec, job: Job) -> str:
        """Read, decompress and write."""
        from gridcode.evaluation.images import save_png

        stream = read_stream(job.source)
        image = codec.decompress(stream.data, name=stream.name, max_pixels=self.max_pixels)
        save_png(image, job.result)
        return f"{image.shape[1]}x{image.shape[0]} pixels"
