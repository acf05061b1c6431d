"""``gridcode edit``: draw a part of an image again, or more of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gridcode.cli.shared.models import ImageModels
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse, recipe_first
from gridcode.errors import GridcodeError, MissingFileError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gridcode.domains.image.edit import Pixels


@dataclass(frozen=True)
class Arguments:
    """Draw a part of an image again (--box or --mask), or more of it (--outpaint).

    gridcode edit [RECIPE] --prior DIR --tokenizer DIR --input IMAGE --box X0 Y0 X1 Y1 --out DIR. A recipe's name sets
    the defaults of how tokens are drawn. The prior should be a masked one: what an autoregressive one draws fits only
    what is above it. --out gets the edited images, and edits.png: the image, what is replaced, and all variants.
    """

    models: Annotated[ImageModels, FLAT]
    output: Annotated[Output, FLAT]
    input: Path
    """The image, of any size; transparency is laid over white."""
    box: tuple[int, int, int, int] | None = None
    """Replace the pixels of a box: x0 y0 x1 y1, from the top left corner, x1 and y1 excluded."""
    mask: Path | None = None
    """Replace the pixels that are white in this image, which has the input's size."""
    outpaint: tuple[int, int, int, int] | None = None
    """Draw this many pixels more: left top right bottom."""
    max_pixels: int | None = None
    """Refuse an image of more pixels; Pillow's limit of 89 million by default."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Class, by name or number, of what is drawn; none by default."""
    count: int = 4
    """Variants."""
    seam: int | None = None
    """Pixels around the edited ones within which old and new are blended; a token's side by default."""


def run(arguments: list[str]) -> None:
    """Edit an image.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    settings, words = recipe_first(arguments)
    default = Arguments(ImageModels.defaults(settings), Output(tyro.MISSING), input=tyro.MISSING)
    parsed = parse(Arguments, words, prog="gridcode edit", default=default)
    ways = [name for name in ("box", "mask", "outpaint") if getattr(parsed, name) is not None]
    if len(ways) != 1:
        raise GridcodeError(f"give one of --box, --mask and --outpaint, got {' and '.join(ways) or 'none'}")
    parsed.models.check()
    for option, place in (("--input", parsed.input), ("--mask", parsed.mask)):
        if place is not None and not place.is_file():
            raise MissingFileError(f"{option} {place} is no file; give an image")
    import numpy as np

    from gridcode.cli.sample import class_index
    from gridcode.domains.image.edit import EditConfig, edit
    from gridcode.evaluation.images import contact_sheet, save_png

    generator, drawing = parsed.models.load(), parsed.models.drawing
    label = -1 if parsed.label is None else class_index(parsed.label, generator.prior.space.classes)
    image, mask = _image_and_mask(parsed, channels=generator.tokenizer.config.channels)
    config = EditConfig(drawing.sampler, guidance=parsed.models.guidance, seam=parsed.seam, seed=drawing.seed)
    out = parsed.output.make()
    edited = edit(generator, image, mask, label=label, count=parsed.count, config=config)
    for index, variant in enumerate(edited):
        save_png(variant, out / f"{index:04d}.png")
    shown = np.where(mask[..., None], np.uint8(128), image)
    save_png(contact_sheet(np.stack([image, shown, *edited]), columns=parsed.count + 2), out / "edits.png")
    number, size = f"{len(edited)} image{'s' * (len(edited) != 1)}", f"{image.shape[1]}x{image.shape[0]}"
    print(f"{number} of {size} in {out}; side by side: {out / 'edits.png'}")


def _image_and_mask(parsed: Arguments, *, channels: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """The image (H, W, C) uint8 and the mask (H, W) bool that the command line asks for."""
    from gridcode.data.crop import to_channels
    from gridcode.data.image import decode_image
    from gridcode.domains.image.edit import box_mask, outpainted

    image = decode_image(parsed.input, name=str(parsed.input), max_pixels=parsed.max_pixels)
    if channels == 1 and image.shape[2] == 3:
        raise GridcodeError(f"{parsed.input} has colours and this tokenizer takes grey images: convert it first")
    image = to_channels(image, channels)
    height, width = image.shape[:2]
    if parsed.box is not None:
        return image, box_mask(height, width, parsed.box)
    if parsed.outpaint is not None:
        left, top, right, bottom = parsed.outpaint
        return outpainted(image, left=left, top=top, right=right, bottom=bottom)
    assert parsed.mask is not None
    marked = to_channels(decode_image(parsed.mask, name=str(parsed.mask), max_pixels=parsed.max_pixels), 1)
    if marked.shape[:2] != (height, width):
        raise GridcodeError(
            f"{parsed.mask} has {marked.shape[1]}x{marked.shape[0]} pixels, {parsed.input} {width}x{height}: give a "
            "mask of the image's size"
        )
    return image, marked[..., 0] > 127
