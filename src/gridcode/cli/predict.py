"""``gridcode predict``: label files of images, and overlays, by both stages of dense prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from gridcode.cli.shared.folders import check_source
from gridcode.cli.shared.models import DenseModels
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError, MissingFileError


@dataclass(frozen=True)
class Arguments:
    """Predict depth, panoptic segments or colours of images; the most probable codes are drawn by default.

    --out gets the label files (depth/, panoptic_predicted/ with annotations/, or colour/) and overlay/.
    """

    output: Annotated[Output, FLAT]
    input: Path
    """An image, or a folder or Parquet file of images, of any sizes; of COCO the folder of a split (val2017/)."""
    models: Annotated[DenseModels, FLAT] = field(default_factory=DenseModels)
    fit: Literal["whole", "crop"] = "whole"
    """Squeeze an image into the model's shape as a whole, or look at its central part alone."""
    depth_format: Literal["png", "npy"] = "png"
    """Depth as 16-bit PNG (millimetres unless the data had another scale; relative depth: 60000 is 1), or .npy."""
    max_pixels: int | None = None
    """Refuse images of more pixels; Pillow's limit of 89 million by default."""
    draws: int = 1
    """Depth and colour: average the maps of so many codes, drawn as they are probable, and write deviation/ too."""
    batch_size: int = 16
    """Images at a time."""


def run(arguments: list[str], *, prog: str = "gridcode predict") -> None:
    """Predict label maps.

    Args:
        arguments: The words after the verb.
        prog: How the verb was called.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(Arguments, arguments, prog=prog)
    if not parsed.input.exists():
        raise MissingFileError(f"{parsed.input}: no such image or folder; check --input")
    check_source(str(parsed.input))
    parsed.models.check()
    from gridcode.data.config import DataConfig
    from gridcode.data.open import open_input
    from gridcode.data.source import EncodedImages
    from gridcode.domains.dense.data.source import ImagesAsStored
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.predict_folder import PredictOptions, predict_source
    from gridcode.training.log import ProgressBar

    if (parsed.input / "annotations").is_dir():
        raise GridcodeError(
            f"{parsed.input} looks like a COCO data set, of images and label maps; give the folder of a split's "
            "images, such as val2017/, as --input"
        )
    options = PredictOptions(
        parsed.output.out,
        fit=parsed.fit,
        depth_format=parsed.depth_format,
        batch_size=parsed.batch_size,
        images=parsed.input if parsed.input.is_dir() else parsed.input.parent,
    )
    tokenizer = parsed.models.load_tokenizer()
    predictor = parsed.models.load_predictor(tokenizer, draws=parsed.draws)
    if predictor is None:
        raise GridcodeError(
            "predict needs a prior too: give --prior, or a --run that holds one; train it with gridcode train prior"
        )
    data = dense_domain(tokenizer).data
    stored = data.task != "colour" and data.orientation == "stored"
    source = open_input(DataConfig(source=str(parsed.input), max_pixels=parsed.max_pixels))
    if stored and isinstance(source, EncodedImages):
        source = ImagesAsStored(source)
    out = parsed.output.make()
    with ProgressBar("predict", total=len(source)) as bar:
        count = predict_source(predictor, source, options, progress=lambda done, _: bar.advance(done))
    print(f"{data.task} of {count} image{'s' * (count != 1)} in {out}, over the images in {out / 'overlay'}")
