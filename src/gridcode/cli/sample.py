"""``gridcode sample``: new pictures, or sounds, from a prior and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import tyro

from gridcode.cli.shared.folders import kind_of_command
from gridcode.cli.shared.models import PictureModels
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse, recipe_first
from gridcode.errors import GridcodeError

ANY: Final = "any"
"""Stands for no class."""


@dataclass(frozen=True)
class Arguments:
    """Make new pictures: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the pictures, and samples.png with all of them.
    """

    models: Annotated[PictureModels, FLAT]
    output: Annotated[Output, FLAT]
    classes: tuple[str, ...] = ()
    """Class names or numbers, or any, which draws without a class; every class by default."""
    count: int = 8
    """Pictures per class."""
    batch_size: int = 64
    """Pictures at a time."""
    first: int = 0
    """Number of the first picture, to go on where an earlier command ended."""


def run(arguments: list[str]) -> None:
    """Sample. The recipe, where its name comes first, or the tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if kind_of_command(arguments) == "audio":
        from gridcode.cli.sound.sample import sample_sounds

        return sample_sounds(arguments)
    return _sample_pictures(arguments)


def _sample_pictures(arguments: list[str]) -> None:
    settings, words = recipe_first(arguments)
    default = Arguments(PictureModels.defaults(settings), Output(tyro.MISSING))
    parsed = parse(Arguments, words, prog="gridcode sample", default=default)
    parsed.models.check()
    from gridcode.data.file_names import file_stem
    from gridcode.evaluation.pictures import contact_sheet, save_png, to_uint8

    if parsed.first < 0:
        raise GridcodeError(f"--first must be at least 0, got {parsed.first}")
    if parsed.count < 1:
        raise GridcodeError(f"--count must be at least 1, got {parsed.count}")
    generator, drawing = parsed.models.load(), parsed.models.drawing
    names = generator.prior.space.classes
    labels = [label for label in wanted_classes(parsed.classes, names) for _ in range(parsed.count)]
    out = parsed.output.make()
    images = generator.sample(
        labels,
        sampler=drawing.sampler,
        guidance=parsed.models.guidance,
        seed=drawing.seed,
        first=parsed.first,
        batch_size=parsed.batch_size,
    )
    pixels = to_uint8(images)
    for number, (label, picture) in enumerate(zip(labels, pixels, strict=True), parsed.first):
        save_png(picture, out / f"{number:04d}-{file_stem(names[label]) if label >= 0 else 'any'}.png")
    save_png(contact_sheet(pixels, columns=parsed.count), out / "samples.png")
    print(
        f"{len(labels)} picture{'s' * (len(labels) != 1)} in {out}; all of them in {out / 'samples.png'}, a class a row"
    )


def wanted_classes(words: Sequence[str], names: tuple[str, ...]) -> list[int]:
    """The classes that words name; without words every class, and -1 where there are none.

    Raises:
        GridcodeError: There is no such class.

    >>> wanted_classes(["dog", "any"], ("cat", "dog")), wanted_classes([], ())
    ([1, -1], [-1])
    """
    chosen = [-1 if word == ANY and ANY not in names else class_index(word, names) for word in words]
    return chosen or list(range(len(names))) or [-1]


def class_index(word: str, names: tuple[str, ...]) -> int:
    """A class by name or number.

    Raises:
        GridcodeError: There is no such class.

    >>> class_index("dog", ("cat", "dog")), class_index("0", ("cat", "dog"))
    (1, 0)
    """
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < len(names):
        return int(word)
    known = ", ".join(names) if names else "none: the data had no labels"
    raise GridcodeError(f"there is no class {word!r}; the classes are {known}")
