"""``gridcode convert``: a tokenizer of diffusers' or taming-transformers', taken over with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gridcode.cli.shared.folders import NAMES, sort_of
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.convert.tokenizer import Conversion


@dataclass(frozen=True)
class Arguments:
    """Take over a tokenizer of diffusers (VQModel) or taming-transformers (VQGAN); --out becomes its folder."""

    source: Annotated[Path, tyro.conf.Positional]
    """A folder that diffusers' VQModel was saved to, or a file with the state dict of a taming VQGAN."""
    output: Annotated[Output, FLAT]
    check: bool = False
    """Also compare it with diffusers' own layers on random images; needs diffusers."""
    unit_range: bool = False
    """It was trained on pixels in [0, 1] (aMUSEd's was); the others were on [-1, 1]."""
    allow_pickle: bool = False
    """Also read .ckpt, .pt, .pth and .bin files; tensors alone are read from them."""
    data: str = "unknown"
    """The images it was trained on: what tokenize and eval read unless they are told otherwise."""
    size: int = 256
    """Side in pixels of the images it was trained on."""


def run(arguments: list[str]) -> None:
    """Convert a tokenizer.

    Raises:
        GridcodeError: The command line or what it names is wrong, or the check fails.
    """
    parsed = parse(Arguments, arguments, prog="gridcode convert")
    parsed.output.check()
    if parsed.source.is_dir() and (found := sort_of(parsed.source)) != "other":
        raise GridcodeError(f"{parsed.source} is {NAMES[found]} of gridcode's own; nothing is to be converted")
    from gridcode.convert.check import check_conversion
    from gridcode.convert.tokenizer import convert_tokenizer

    conversion = convert_tokenizer(
        parsed.source,
        data=parsed.data,
        size=parsed.size,
        unit_range=parsed.unit_range,
        allow_pickle=parsed.allow_pickle,
    )
    tokenizer = conversion.tokenizer
    print(_summary(conversion))
    if parsed.check:
        agreement = check_conversion(conversion, parsed.source)
        result = (
            f"{agreement.equal:,} of {agreement.tokens:,} tokens equal ({agreement.equal / agreement.tokens:.2%}), "
            f"decoded pixels differ by at most {agreement.difference:.1e}"
        )
        if not agreement.holds:
            raise GridcodeError(f"the check against diffusers failed: {result}; nothing was written, please report it")
        print(f"check against diffusers: {result}")
    out = parsed.output.make()
    tokenizer.save_pretrained(out)
    print(
        f"tokenizer in {out}: {tokenizer.config.downsampling} pixels per token, {tokenizer.codebook_size:,} "
        f"codes, {tokenizer.parameter_count:,} parameters; next: gridcode reconstruct --tokenizer {out} "
        "--input IMAGE --out DIR"
    )


def _summary(conversion: Conversion) -> str:
    """What was taken over, and what was not."""
    parts = [f"{conversion.project}: {conversion.used} tensors, each used once"]
    if conversion.prefix:
        parts.append(f"found under {conversion.prefix}")
    if conversion.rounded:
        parts.append(f"{' and '.join(conversion.rounded)} made float32")
    if conversion.set_aside:
        parts.append(f"{len(conversion.set_aside)} of its training left out")
    if "quantize.used" in conversion.set_aside:
        parts.append("quantize.used left out, tokens have the codebook's own numbers")
    if conversion.others:
        parts.append(f"{conversion.others} of other models left out")
    return "; ".join(parts)
