"""``gridcode sample`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from gridcode.cli.shared.models import PictureModels
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.cli.sound.options import recipe_of_sounds
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Arguments:
    """Make new sounds: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the sounds, and samples.png with the
    spectrograms of all of them.
    """

    models: Annotated[PictureModels, FLAT]
    output: Annotated[Output, FLAT]
    classes: tuple[str, ...] = ()
    """Class names or numbers, or any, which draws without a class; every class by default."""
    count: int = 4
    """Sounds per class."""
    batch_size: int = 64
    """Sounds at a time."""
    first: int = 0
    """Number of the first sound, to go on where an earlier command ended."""
    format: Literal["flac", "wav"] = "flac"
    """Of the files."""


def sample_sounds(arguments: list[str]) -> None:
    """Sample sounds.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, words = recipe_of_sounds(arguments)
    default = Arguments(PictureModels.defaults(settings), Output(tyro.MISSING))
    parsed = parse(Arguments, words, prog="gridcode sample", default=default)
    if parsed.first < 0 or parsed.count < 1:
        raise GridcodeError(f"--first must be at least 0 and --count at least 1, got {parsed.first} and {parsed.count}")
    parsed.models.check("audio tokenizer")
    from gridcode.cli.sample import wanted_classes
    from gridcode.data.file_names import file_stem
    from gridcode.domains.audio.data.decode import write
    from gridcode.domains.audio.domain import data_of
    from gridcode.domains.audio.show import spectrograms
    from gridcode.evaluation.pictures import contact_sheet, save_png

    generator, drawing = parsed.models.load(), parsed.models.drawing
    names, rate = generator.prior.space.classes, data_of(generator.tokenizer).rate
    labels = [label for label in wanted_classes(parsed.classes, names) for _ in range(parsed.count)]
    out = parsed.output.make()
    sounds = generator.sample(
        labels,
        sampler=drawing.sampler,
        guidance=parsed.models.guidance,
        seed=drawing.seed,
        first=parsed.first,
        batch_size=parsed.batch_size,
    )
    for number, (label, sound) in enumerate(zip(labels, sounds, strict=True), parsed.first):
        name = file_stem(names[label]) if label >= 0 else "any"
        write(out / f"{number:04d}-{name}.{parsed.format}", sound[0].numpy(), rate)
    save_png(contact_sheet(spectrograms(sounds, rate=rate), columns=parsed.count), out / "samples.png")
    sheet = out / "samples.png"
    print(f"{len(labels)} sound{'s' * (len(labels) != 1)} in {out}; spectrograms of all in {sheet}, a class a row")
