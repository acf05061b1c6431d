"""``gridcode eval images``: score images that lie in files, whichever program made them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.scores.network import weights_of
from gridcode.cli.shared.options import FLAT, Device
from gridcode.cli.shared.parse import parse
from gridcode.errors import FileError
from gridcode.evaluation.protocol import ProtocolName


@dataclass(frozen=True)
class ImagesArguments:
    """Score images that lie in files against reference statistics, whichever program made them.

    gridcode eval images --images DIR --reference FILE.npz --protocol fd-lite0
    """

    images: str
    """A folder of image files, or a .npz file with arr_0 as ADM lays out samples; all of one size, which is kept."""
    reference: str
    """The .npz file of reference statistics, as gridcode eval reference makes it, or others' (ADM's, pytorch-fid's)."""
    protocol: ProtocolName
    """How they are measured."""
    out: Path | None = None
    """A .json file for the scores with their protocol."""
    inception: str | None = None
    """Inception's weights for fid-adm and fid-clean: the file pt_inception-2015-12-05-6726825d.pth."""
    classifier: str | None = None
    """The measuring classifier's folder for classifier-fd, as gridcode eval --classifier leaves it."""
    device: Annotated[Device, FLAT] = field(default_factory=Device)
    force: bool = False
    """Replace --out."""

    def check(self) -> None:
        """Refuse a file that cannot be written, before images are measured.

        Raises:
            GridcodeError: The file has another name, or is there.
        """
        if self.out is not None and self.out.suffix != ".json":
            raise FileError(f"--out {self.out}: scores are a .json file; give its name")
        if self.out is not None and self.out.exists() and not self.force:
            raise FileError(f"{self.out} exists; give another --out, or --force to replace it")


def score_images_of_files(arguments: list[str]) -> None:
    """Score images, print the scores, and keep them.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    default = ImagesArguments(tyro.MISSING, tyro.MISSING, tyro.MISSING)
    parsed = parse(ImagesArguments, arguments, prog="gridcode eval images", default=default)
    parsed.check()
    weights = weights_of(parsed.protocol, parsed.inception, parsed.classifier)
    from gridcode.cli.scores.progress import with_bar
    from gridcode.cli.shared.advice import narrator
    from gridcode.evaluation.publish import print_figures
    from gridcode.evaluation.reference import load_reference
    from gridcode.evaluation.score import protocol_extractor
    from gridcode.evaluation.stored import score_stored, stored_images
    from gridcode.files import write_json

    say = narrator()
    images = stored_images(parsed.images)
    extractor = protocol_extractor(parsed.protocol, weights=weights, device=parsed.device.usable())
    reference = load_reference(parsed.reference, extractor)
    say(f"measuring {images.count:,} images of {images.width} x {images.height} with {extractor.name}")
    shown = replace(images, batches=lambda: with_bar("images", images.batches(), images.count))
    scores, warnings = score_stored(shown, reference, name=parsed.protocol, extractor=extractor)
    for warning in warnings:
        say(warning)
    print_figures({score.name: score.value for score in scores})
    if parsed.out is not None:
        command = shlex.join(["gridcode", "eval", "images", *arguments])
        records = [score.record() for score in scores]
        write_json(parsed.out, {"command": command, "scores": records, "warnings": warnings})
        print(f"scores in {parsed.out}")
