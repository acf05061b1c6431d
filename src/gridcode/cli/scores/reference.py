"""``gridcode eval reference``: measure real images once, so that many reports share one reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gridcode.cli.scores.network import weights_of
from gridcode.cli.shared.folders import check_source
from gridcode.cli.shared.options import FLAT, Device
from gridcode.cli.shared.parse import parse
from gridcode.data.config import DataConfig
from gridcode.errors import FileError, GridcodeError
from gridcode.evaluation.protocol import PROTOCOLS, ProtocolName


@dataclass(frozen=True)
class ReferenceArguments:
    """Measure real images once, for gridcode eval --reference FILE.npz.

    gridcode eval reference --data.source DIR --protocol fd-lite0 --out FILE.npz
    """

    out: Path
    """The .npz file."""
    protocol: ProtocolName | None = None
    """Whose network measures; the layout adm has none."""
    layout: Literal["gridcode", "adm"] = "gridcode"
    """gridcode: statistics and features of one network; adm: the images themselves (arr_0), as ADM's batches have
    them, which every network measures when it reads them."""
    split: Literal["train", "val"] = "train"
    """Which images of the data."""
    count: int = 10_000
    """Images, at most, from all over the split."""
    inception: str | None = None
    """Inception's weights for fid-adm and fid-clean: the file pt_inception-2015-12-05-6726825d.pth."""
    classifier: str | None = None
    """The measuring classifier's folder for classifier-fd, as gridcode eval --classifier leaves it."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images, read as gridcode train reads them for validation."""
    device: Annotated[Device, FLAT] = field(default_factory=Device)
    force: bool = False
    """Replace --out."""

    def check(self) -> None:
        """Refuse what cannot be written, before images are measured.

        Raises:
            GridcodeError: The file has another name or is there, or layout and protocol do not fit.
        """
        if self.out.suffix != ".npz":
            raise GridcodeError(f"--out {self.out}: reference statistics are a .npz file; give its name")
        if self.out.exists() and not self.force:
            raise FileError(f"{self.out} exists; give another --out, or --force to replace it")
        if self.layout == "gridcode" and self.protocol is None:
            raise GridcodeError(f"give the --protocol whose network measures: one of {', '.join(PROTOCOLS)}")
        if self.layout == "adm" and self.protocol is not None:
            raise GridcodeError("--layout adm keeps images, which no network has measured; leave --protocol out")
        if self.count < 2:
            raise GridcodeError(f"--count must be at least 2, got {self.count}")


def save_reference_file(arguments: list[str]) -> None:
    """Measure real images, and keep their statistics, or keep the images.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    default = ReferenceArguments(tyro.MISSING)
    parsed = parse(ReferenceArguments, arguments, prog="gridcode eval reference", default=default)
    parsed.check()
    weights = None if parsed.protocol is None else weights_of(parsed.protocol, parsed.inception, parsed.classifier)
    check_source(parsed.data.source)
    from gridcode.cli.scores.progress import with_bar
    from gridcode.cli.shared.advice import narrator
    from gridcode.data.loader import eval_batches
    from gridcode.data.open import open_split
    from gridcode.data.source import fixed_subset
    from gridcode.evaluation.reference import measure_reference, save_image_batch, save_reference
    from gridcode.evaluation.score import protocol_extractor

    say, data = narrator(), parsed.data
    images = fixed_subset(open_split(data, parsed.split), parsed.count)
    source = f"{data.dataset} {parsed.split}, center {data.size}"
    read = (batch.images for batch in eval_batches(images, data, batch_size=50))
    batches = with_bar("images", read, len(images))
    if parsed.protocol is None:
        say(f"reading {len(images):,} images of {source}")
        count = save_image_batch(batches, parsed.out)
        print(f"{count:,} images in {parsed.out}; gridcode eval takes it as --reference with any --protocol")
        return
    extractor = protocol_extractor(parsed.protocol, weights=weights, device=parsed.device.usable())
    say(f"measuring {len(images):,} images of {source} with {extractor.name}")
    reference = measure_reference(batches, extractor, source=source, split=parsed.split, crop=f"center {data.size}")
    save_reference(reference, extractor, parsed.out)
    print(f"statistics of {reference.count:,} images in {parsed.out}, hash {reference.hash}")
    print(f"use them with gridcode eval --protocol {parsed.protocol} --reference {parsed.out}")
