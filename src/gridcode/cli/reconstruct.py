"""``gridcode reconstruct``: images, or examples of another kind, through a tokenizer and back, side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from gridcode.cli.shared.folders import check_source, kind_of_data
from gridcode.cli.shared.kinds import KINDS, KindOfData, data_of, own_verb
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output, Reading, read_each
from gridcode.cli.shared.parse import parse
from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.data.source import Example, ImageSource
    from gridcode.tokenizer.model import Tokenizer

FormT = TypeVar("FormT")
Read = TypeVar("Read")


@dataclass(frozen=True)
class Arguments:
    """Send images through a tokenizer and back.

    --out gets the reconstructions, alone and beside their originals, and comparison.png with all of them.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """An image, or all that training reads, 'scenes' too, of splits the validation; the tokenizer's own by default."""
    data: Reading = field(default_factory=Reading)
    """How images are read."""
    count: int = 16
    """Images at most, from all over the input."""
    native: bool = False
    """Each image at its own size instead of the tokenizer's training size."""


def parse_reconstructed(form: type[FormT], kind: KindOfData, arguments: Sequence[str]) -> FormT:
    """Read a command line, and refuse what is not there before libraries are imported.

    Args:
        form: The arguments, with ``model``, ``input`` and ``count``.
        kind: The kind of data.
        arguments: The words after the verb.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed: Any = parse(form, arguments, prog="gridcode reconstruct")
    check_source(parsed.input, kind)
    parsed.model.check(f"{kind} tokenizer")
    if parsed.count < 1:
        raise GridcodeError(f"--count must be at least 1, got {parsed.count}")
    found: FormT = parsed
    return found


@dataclass(frozen=True)
class Chosen:
    """The examples that are to be reconstructed.

    Attributes:
        tokenizer: What they are sent through.
        data: How they are read.
        source: The examples.
        nouns: What they are called.
    """

    tokenizer: Tokenizer
    data: Any
    source: Any
    nouns: str

    def each(self, reconstruct: Callable[[Any, str], Read], suffixes: Collection[str]) -> Iterator[Read]:
        """What ``reconstruct`` makes of each example and the name of its file, without ending.

        Args:
            reconstruct: Raises a :class:`GridcodeError` where an example cannot be read.
            suffixes: Endings of files that a key may have.

        Raises:
            GridcodeError: An example cannot be read, or none can.
        """

        def numbered(number: int) -> Read:
            example = self.source[number]
            return reconstruct(example, file_name(number, example.key, suffixes))

        name, on_error = self.source.name, self.data.on_error
        return read_each(len(self.source), numbered, name=name, what=self.nouns, on_error=on_error)


def chosen_examples(parsed: Any, kind: KindOfData, open_input: Callable[[Any], Any]) -> Chosen:
    """Load a tokenizer and open what it is to reconstruct.

    Args:
        parsed: The command line, of :func:`parse_reconstructed`.
        kind: The kind of data.
        open_input: Opens the source of settings as what a person gave.

    Raises:
        GridcodeError: The tokenizer cannot be loaded, or the examples cannot be opened.
    """
    tokenizer = parsed.model.load()
    data, domain = parsed.data.applied(data_of(kind, tokenizer)), tokenizer.domain
    source = domain.open(data, "val") if parsed.input is None else open_input(replace(data, source=parsed.input))
    return Chosen(tokenizer, data, domain.part(source, parsed.count), KINDS[kind].nouns)


def file_name(number: int, key: str, suffixes: Collection[str]) -> str:
    """What a reconstruction's file is called, without ending.

    >>> file_name(3, "cat/9.PNG", (".png",))
    '0003-cat-9'
    """
    from gridcode.data.file_names import file_stem, without_ending

    return f"{number:04d}-{file_stem(without_ending(key, suffixes))}"


def run(arguments: list[str]) -> None:
    """Reconstruct. The tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    return (own_verb(kind_of_data(arguments), "reconstruct") or _reconstruct_images)(arguments)


def _reconstruct_images(arguments: list[str]) -> None:
    parsed = parse_reconstructed(Arguments, "image", arguments)
    import numpy as np
    import torch

    from gridcode.data.file_names import file_stem
    from gridcode.data.open import open_input, open_split
    from gridcode.domains.image.domain import data_of
    from gridcode.domains.image.show import as_batch, reconstruct
    from gridcode.evaluation.images import contact_sheet, save_png, to_uint8
    from gridcode.metrics.image import psnr

    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    source = open_split(data, "val") if parsed.input is None else open_input(replace(data, source=parsed.input))
    examples = list(_read_some(source, parsed.count, data))
    out = parsed.output.make()
    pairs, scores = [], []
    for number, example in enumerate(examples):
        image = as_batch(example, tokenizer, size=None if parsed.native else data.size).to(tokenizer.device)
        back = reconstruct(tokenizer, image)
        scores.append(float(psnr(back, image)))
        pair = to_uint8(torch.cat([image, back]))
        save_png(pair[1], out / f"{number:04d}-{file_stem(example.key)}.png")
        save_png(contact_sheet(pair, columns=2), out / f"{number:04d}-{file_stem(example.key)}-both.png")
        pairs.append(pair)
        print(f"{example.key}  {scores[-1]:.2f} dB")
    print(f"{len(pairs)} image{'s' * (len(pairs) != 1)} in {out}, PSNR {sum(scores) / len(scores):.2f} dB")
    if len({pair.shape for pair in pairs}) == 1:
        save_png(contact_sheet(np.concatenate(pairs), columns=8), out / "comparison.png")
        print(f"originals, each with its reconstruction at its right: {out / 'comparison.png'}")


def _read_some(source: ImageSource, count: int, data: DataConfig) -> Iterator[Example]:
    """At most ``count`` images from all over a source; with ``on_error`` "skip" those that can be read.

    Raises:
        GridcodeError: An image cannot be read, or with "skip" none can.
    """
    from gridcode.data.source import fixed_subset

    chosen = fixed_subset(source, count)
    return read_each(len(chosen), chosen.__getitem__, name=source.name, what="images", on_error=data.on_error)
