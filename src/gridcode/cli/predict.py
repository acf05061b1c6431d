"""``gridcode predict``: label files of pictures, and overlays, by both stages of dense prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gridcode.cli.arguments import check_models, parse
from gridcode.cli.models import DenseModels, kind_of_model, load_predictor, load_tokenizer
from gridcode.domains.dense.prior.config import NEAR_GREEDY
from gridcode.errors import GridcodeError, MissingFileError
from gridcode.prior.samplers.config import SamplerConfig


@dataclass(frozen=True)
class Arguments:
    """Command line of ``predict``."""

    input: Path
    """A picture, or a folder or Parquet file of pictures, of any sizes; of COCO the folder of a split (val2017/)."""
    out: Path
    """Folder for the label files (depth/, panoptic_predicted/ with annotations/, or colour/) and for overlay/."""
    models: Annotated[DenseModels, tyro.conf.arg(name="")] = field(default_factory=DenseModels)
    fit: Literal["whole", "crop"] = "whole"
    """Squeeze a picture into the model's shape as a whole, or look at its central part alone."""
    depth_format: Literal["png", "npy"] = "png"
    """Depth as 16-bit PNG (millimetres unless the data had another scale; relative depth: 60000 is 1), or .npy."""
    sampler: Annotated[SamplerConfig, tyro.conf.arg(name="")] = NEAR_GREEDY
    """How codes are drawn; the most probable ones by default."""
    max_pixels: int | None = None
    """Refuse pictures of more pixels; Pillow's limit of 89 million by default."""
    draws: int = 1
    """Depth and colour: average the maps of so many codes, drawn as they are probable, and write deviation/ too."""
    seed: int = 0
    """Same seed and batch size, same maps."""
    batch_size: int = 16
    """Pictures at a time."""
    force: bool = False
    """Write into a folder that is not empty."""


def run(arguments: list[str], *, prog: str = "gridcode predict") -> None:
    """Predict label maps.

    Args:
        arguments: The words after the verb.
        prog: How the verb was called.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(
        Arguments,
        arguments,
        prog=prog,
        description="Predict depth, panoptic segments or colours of pictures.",
    )
    if not parsed.input.exists():
        raise MissingFileError(f"{parsed.input}: no such picture or folder; check --input")
    if kind_of_model(["--tokenizer", parsed.models.tokenizer_at()]) == "image" and parsed.models.tokenizer:
        check_models(parsed.models.tokenizer)
        raise GridcodeError(f"{parsed.models.tokenizer} is a tokenizer of pictures; make pictures with gridcode sample")
    from gridcode.cli.output import fresh_folder
    from gridcode.data.config import DataConfig
    from gridcode.data.open import open_input
    from gridcode.data.source import EncodedImages
    from gridcode.domains.dense.data.source import PicturesAsStored
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.predict_folder import PredictOptions, predict_source
    from gridcode.training.log import ProgressBar

    if (parsed.input / "annotations").is_dir():
        raise GridcodeError(
            f"{parsed.input} looks like a COCO data set, of pictures and label maps; give the folder of a split's "
            "pictures, such as val2017/, as --input"
        )
    options = PredictOptions(
        parsed.out,
        fit=parsed.fit,
        depth_format=parsed.depth_format,
        batch_size=parsed.batch_size,
        pictures=parsed.input if parsed.input.is_dir() else parsed.input.parent,
    )
    tokenizer = load_tokenizer(parsed.models)
    predictor = load_predictor(parsed.models, tokenizer, sampler=parsed.sampler, seed=parsed.seed, draws=parsed.draws)
    if predictor is None:
        raise GridcodeError(
            "predict needs a prior too: give --prior, or a --run that holds one; train it with gridcode train prior"
        )
    data = dense_domain(tokenizer).data
    stored = data.task != "colour" and data.orientation == "stored"
    source = open_input(DataConfig(source=str(parsed.input), max_pixels=parsed.max_pixels))
    if stored and isinstance(source, EncodedImages):
        source = PicturesAsStored(source)
    fresh_folder(parsed.out, force=parsed.force)
    with ProgressBar("predict", total=len(source)) as bar:
        count = predict_source(predictor, source, options, progress=lambda done, _: bar.advance(done))
    print(f"{data.task} of {count} pictures in {parsed.out}, over the pictures in {parsed.out / 'overlay'}")
