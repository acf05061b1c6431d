"""``gridcode sample`` of clips: new ones, or what comes after given frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gridcode.cli import sample
from gridcode.cli.shared.folders import check_source
from gridcode.cli.shared.options import read_each
from gridcode.cli.video.options import VideoReading
from gridcode.domains.video.config import VideoEvaluationConfig
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from torch import Tensor

    from gridcode.tasks.generate import Generator


@dataclass(frozen=True)
class Arguments(sample.Arguments):
    """Make new clips: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the clips, and samples.png with film strips of
    the first 16. With --given, clips begin with the first frames of videos, and --classes has one class or any.
    """

    count: int = 4
    """How many of each class; with --given how many videos are continued, from all over the source."""
    given: str | None = None
    """A video, or a folder of videos, or 'motion', whose first frames are given."""
    given_frames: int | None = None
    """How many frames are given: 1, or 1 more than a multiple of the tokenizer's factor of time. By default 5."""
    data: VideoReading = field(default_factory=VideoReading)
    """How the videos of --given are read."""
    format: Literal["webp", "gif"] = "webp"
    """Of the files."""


_SHOWN = 16
"""Clips in samples.png, at most."""


def run(arguments: list[str]) -> None:
    """Sample clips.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = sample.parse_sampled(Arguments, "video", arguments, VideoEvaluationConfig())
    check_source(parsed.given, "video")
    if parsed.given is None and parsed.data != VideoReading():
        raise GridcodeError("how videos are read (--data) is for those of --given, and there are none")
    if parsed.given is None and parsed.given_frames is not None:
        raise GridcodeError("--given-frames counts frames of --given, and there are none")
    from gridcode.domains.video.domain import VideoDomain
    from gridcode.domains.video.files import write_clip
    from gridcode.domains.video.show import film_strips
    from gridcode.evaluation.images import save_png

    generator = parsed.models.load()
    domain = generator.tokenizer.domain
    assert isinstance(domain, VideoDomain)
    if parsed.given is None:
        drawn = parsed.draw(generator)
        clips, stems, out = drawn.examples, drawn.stems, drawn.out
    else:
        clips, stems = _continued(parsed, parsed.given, generator)
        out = parsed.output.make()
    for stem, clip in zip(stems, clips, strict=True):
        write_clip(out / f"{stem}.{parsed.format}", clip, fps=domain.fps)
    save_png(film_strips(clips[:_SHOWN]), out / "samples.png")
    count = len(clips)
    print(f"{count} clip{'s' * (count != 1)} in {out}; film strips in {out / 'samples.png'}, a clip a row")


def _continued(parsed: Arguments, given: str, generator: Generator) -> tuple[Tensor, list[str]]:
    """The videos of --given, continued, and the names of their files."""
    from dataclasses import replace

    import torch

    from gridcode.cli.reconstruct import file_name
    from gridcode.data.labelled.source import some_of
    from gridcode.domains.video.continuation import check_given, continued
    from gridcode.domains.video.data.decode import SUFFIXES
    from gridcode.domains.video.data.loader import as_clips
    from gridcode.domains.video.data.source import open_input
    from gridcode.domains.video.domain import data_of

    if len(parsed.classes) > 1:
        raise GridcodeError(f"--given takes one of --classes, or any, got {len(parsed.classes)}")
    if parsed.first:
        raise GridcodeError("--first numbers new clips; leave it out with --given")
    if parsed.count < 1:
        raise GridcodeError(f"--count must be at least 1, got {parsed.count}")
    parsed.output.check()
    frames = 5 if parsed.given_frames is None else parsed.given_frames
    check_given(generator, frames)
    (label,) = sample.wanted_classes(parsed.classes or (sample.ANY,), generator.prior.space.classes)
    settings = parsed.data.applied(data_of(generator.tokenizer))
    data = replace(settings, source=given, frames=frames)
    chosen, drawing = some_of(open_input(data), parsed.count), parsed.models.drawing

    def first_frames(number: int) -> tuple[Tensor, str]:
        clip = chosen[number]
        return as_clips(clip.read(data, 0.0)[None]), file_name(number, clip.key, SUFFIXES)

    read = read_each(len(chosen), first_frames, name=chosen.name, what="videos", on_error=data.on_error)
    beginnings, stems = zip(*read, strict=True)
    clips = continued(
        generator,
        torch.cat(beginnings),
        [label] * len(beginnings),
        sampler=drawing.sampler,
        guidance=parsed.models.guidance,
        seed=drawing.seed,
        batch_size=parsed.batch_size,
    )
    return clips, list(stems)
