"""``gridcode sample``: new pictures from a prior and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import tyro

from gridcode.cli.arguments import check_models, parse, recipe_first, usable_device
from gridcode.errors import GridcodeError
from gridcode.prior.samplers.config import SamplerConfig

ANY: Final = "any"
"""Stands for no class."""


@dataclass(frozen=True)
class Arguments:
    """Command line of ``sample``."""

    prior: str
    """A prior's folder or hub id."""
    tokenizer: str
    """Its tokenizer's folder or hub id."""
    out: Path
    """Folder for the pictures, and samples.png with all of them."""
    classes: tuple[str, ...] = ()
    """Class names or numbers, or any, which draws without a class; every class by default."""
    count: int = 8
    """Pictures per class."""
    sampler: Annotated[SamplerConfig, tyro.conf.arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled; a recipe's name as the first word sets the defaults."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 64
    """Pictures at a time."""
    seed: int = 0
    """Same seed, same pictures: a picture's noise depends on the seed and its number."""
    first: int = 0
    """Number of the first picture, to go on where an earlier command ended."""
    force: bool = False
    """Write into a folder that is not empty."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


def run(arguments: list[str]) -> None:
    """Sample pictures.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, words = recipe_first(arguments)
    missing = dict.fromkeys(("prior", "tokenizer", "out"), tyro.MISSING)
    parsed = parse(
        Arguments,
        words,
        prog="gridcode sample",
        default=Arguments(**missing, sampler=settings.sampler, guidance=settings.guidance),
        description="Make new pictures: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.",
    )
    check_models(parsed.prior, parsed.tokenizer)
    from gridcode.cli.output import fresh_folder
    from gridcode.data.file_names import file_stem
    from gridcode.evaluation.pictures import contact_sheet, save_png, to_uint8
    from gridcode.tasks.generate import Generator

    if parsed.first < 0:
        raise GridcodeError(f"--first must be at least 0, got {parsed.first}")
    if parsed.count < 1:
        raise GridcodeError(f"--count must be at least 1, got {parsed.count}")
    device = usable_device(parsed.device)
    generator = Generator.from_pretrained(parsed.prior, parsed.tokenizer, device=device)
    names = generator.prior.space.classes
    wanted = (
        [-1 if word == ANY and ANY not in names else class_index(word, names) for word in parsed.classes]
        or list(range(len(names)))
        or [-1]
    )
    labels = [label for label in wanted for _ in range(parsed.count)]
    out = fresh_folder(parsed.out, force=parsed.force)
    images = generator.sample(
        labels,
        sampler=parsed.sampler,
        guidance=parsed.guidance,
        seed=parsed.seed,
        first=parsed.first,
        batch_size=parsed.batch_size,
    )
    pixels = to_uint8(images)
    for number, (label, picture) in enumerate(zip(labels, pixels, strict=True), parsed.first):
        save_png(picture, out / f"{number:04d}-{file_stem(names[label]) if label >= 0 else 'any'}.png")
    save_png(contact_sheet(pixels, columns=parsed.count), out / "samples.png")
    print(f"{len(labels)} pictures in {out}; all of them in {out / 'samples.png'}, a class a row")


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
