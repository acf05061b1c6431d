"""``gridcode sample``: new images, or examples of another kind, from a prior and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import tyro

from gridcode.cli.shared.folders import kind_of_command
from gridcode.cli.shared.kinds import KindOfData, own_verb, recipe_settings
from gridcode.cli.shared.models import ImageModels
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse, recipe_first
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from torch import Tensor

    from gridcode.tasks.generate import Generator
    from gridcode.tokenizer.model import Tokenizer

ANY: Final = "any"
"""Stands for no class."""


@dataclass(frozen=True)
class Arguments:
    """Make new images: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the images, and samples.png with all of them.
    """

    models: Annotated[ImageModels, FLAT]
    output: Annotated[Output, FLAT]
    classes: tuple[str, ...] = ()
    """Class names or numbers, or any, which draws without a class; every class by default."""
    count: int = 8
    """How many of each class."""
    batch_size: int = 64
    """How many are drawn at a time."""
    first: int = 0
    """Number of the first, to go on where an earlier command ended."""

    def draw(self, generator: Generator | None = None) -> Drawn:
        """Load both stages and draw; --out is made in between, so that nothing is drawn in vain.

        Args:
            generator: Both stages, where they are loaded already.

        Raises:
            GridcodeError: An option is out of range, a model cannot be loaded, or there is no such class.
        """
        if self.first < 0:
            raise GridcodeError(f"--first must be at least 0, got {self.first}")
        if self.count < 1:
            raise GridcodeError(f"--count must be at least 1, got {self.count}")
        generator, drawing = generator or self.models.load(), self.models.drawing
        names = generator.prior.space.classes
        labels = [label for label in wanted_classes(self.classes, names) for _ in range(self.count)]
        out = self.output.make()
        examples = generator.sample(
            labels,
            sampler=drawing.sampler,
            guidance=self.models.guidance,
            seed=drawing.seed,
            first=self.first,
            batch_size=self.batch_size,
        )
        from gridcode.data.file_names import file_stem

        words = [file_stem(names[label]) if label >= 0 else ANY for label in labels]
        stems = [f"{number:04d}-{word}" for number, word in enumerate(words, self.first)]
        return Drawn(examples, stems, out, generator.tokenizer)


FormT = TypeVar("FormT", bound=Arguments)


@dataclass(frozen=True)
class Drawn:
    """Examples that were drawn.

    Attributes:
        examples: As the tokenizer decodes them.
        stems: What the file of each is called, without its ending.
        out: The folder.
        tokenizer: That decoded them.
    """

    examples: Tensor
    stems: Sequence[str]
    out: Path
    tokenizer: Tokenizer


def parse_sampled(form: type[FormT], kind: KindOfData, arguments: Sequence[str], default: Any) -> FormT:
    """Read the command line ``form`` of a kind with a module of its own, and refuse models that are not there.

    Examples are drawn as the recipe says whose name comes first, or as ``default``, the kind's measuring settings.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, words = recipe_settings(kind, arguments, default)
    defaults = form(ImageModels.defaults(settings), Output(tyro.MISSING))
    parsed = parse(form, words, prog="gridcode sample", default=defaults)
    parsed.models.check(f"{kind} tokenizer")
    return parsed


def run(arguments: list[str]) -> None:
    """Sample. The recipe, where its name comes first, or the tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    return (own_verb(kind_of_command(arguments), "sample") or _sample_images)(arguments)


def _sample_images(arguments: list[str]) -> None:
    settings, words = recipe_first(arguments)
    default = Arguments(ImageModels.defaults(settings), Output(tyro.MISSING))
    parsed = parse(Arguments, words, prog="gridcode sample", default=default)
    parsed.models.check()
    from gridcode.evaluation.images import contact_sheet, save_png, to_uint8

    drawn = parsed.draw()
    pixels = to_uint8(drawn.examples)
    for stem, image in zip(drawn.stems, pixels, strict=True):
        save_png(image, drawn.out / f"{stem}.png")
    sheet, count = drawn.out / "samples.png", len(pixels)
    save_png(contact_sheet(pixels, columns=parsed.count), sheet)
    print(f"{count} image{'s' * (count != 1)} in {drawn.out}; all of them in {sheet}, a class a row")


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
