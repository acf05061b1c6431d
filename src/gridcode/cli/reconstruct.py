"""``gridcode reconstruct``: pictures, or examples of another kind, through a tokenizer and back, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from gridcode.cli.shared.folders import check_source, kind_of_data
from gridcode.cli.shared.kinds import KindOfData, own_verb
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output, Reading, read_each
from gridcode.cli.shared.parse import parse
from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.data.source import Example, ImageSource

FormT = TypeVar("FormT")


@dataclass(frozen=True)
class Arguments:
    """Send pictures through a tokenizer and back.

    --out gets the reconstructions, alone and beside their originals, and comparison.png with all of them.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A picture, or all that training reads, 'scenes' too, of splits the validation; the tokenizer's own by default."""
    data: Annotated[Reading, tyro.conf.arg(name="data")] = field(default_factory=Reading)
    """How pictures are read."""
    count: int = 16
    """Pictures at most, from all over the input."""
    native: bool = False
    """Each picture at its own size instead of the tokenizer's training size."""


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


def run(arguments: list[str]) -> None:
    """Reconstruct. The tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    return (own_verb(kind_of_data(arguments), "reconstruct") or _reconstruct_pictures)(arguments)


def _reconstruct_pictures(arguments: list[str]) -> None:
    parsed = parse_reconstructed(Arguments, "image", arguments)
    import numpy as np
    import torch

    from gridcode.data.file_names import file_stem
    from gridcode.data.open import open_input, open_split
    from gridcode.domains.image.domain import data_of
    from gridcode.domains.image.show import as_batch, reconstruct
    from gridcode.evaluation.pictures import contact_sheet, save_png, to_uint8
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
    print(f"{len(pairs)} picture{'s' * (len(pairs) != 1)} in {out}, PSNR {sum(scores) / len(scores):.2f} dB")
    if len({pair.shape for pair in pairs}) == 1:
        save_png(contact_sheet(np.concatenate(pairs), columns=8), out / "comparison.png")
        print(f"originals, each with its reconstruction at its right: {out / 'comparison.png'}")


def _read_some(source: ImageSource, count: int, data: DataConfig) -> Iterator[Example]:
    """At most ``count`` pictures from all over a source; with ``on_error`` "skip" those that can be read.

    Raises:
        GridcodeError: A picture cannot be read, or with "skip" none can.
    """
    from gridcode.data.source import fixed_subset

    chosen = fixed_subset(source, count)
    return read_each(len(chosen), chosen.__getitem__, name=source.name, what="pictures", on_error=data.on_error)
