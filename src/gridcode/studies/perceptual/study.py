"""Networks in Stage I's loss: pixels alone, a self-made network, EfficientNet-lite0, at equal steps.

    setting     loss
    l2          mean squared error of the pixels
    self        and the distance of features of a small network trained on the study's own images first
    lite0       and that of EfficientNet-lite0, which ImageNet has trained
    shifted     the same, at another place of the image in each step (``loss.perceptual.shift``)

    reconstructions ─> lite2                          trained apart: took no part in any loss
                   ├─> a classifier of the data       took no part, but learned the labels that ``self`` learned
                   └─> lite0                          measures what it trained

A network that was in the loss is no judge of what the loss brought. So lite2 and the classifier are asked, and lite0
stands beside them to show how far it is flattered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.data.loader import eval_batches
from gridcode.data.source import fixed_subset
from gridcode.evaluation.images import ImageArray, contact_sheet, save_png, to_uint8
from gridcode.features.efficientnet import FEATURES, weights_file
from gridcode.quantize.config import FSQConfig
from gridcode.studies.curves import PSNR, RECONSTRUCTION, cell_text
from gridcode.studies.images import ImageStudy, Recipe, image_sources
from gridcode.studies.intervals import answered, difference, percent
from gridcode.studies.perceptual.config import PerceptualStudyConfig
from gridcode.studies.results import read_result
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Bars, Column, StudyTable, Summary, Verdict, by_setting
from gridcode.studies.timing import seconds_of_steps
from gridcode.tokenizer.model import Tokenizer

NAMES: Final = {"l2": "L2 alone", "self": "self-made network", "lite0": "lite0", "shifted": "lite0 with shifts"}
TITLES: Final = {"self": "the self-made network", "lite0": "lite0", "shifted": "lite0 with shifts"}
SECONDS: Final = "seconds_a_step"
MEASURES: Final = (
    Column(PSNR, "PSNR (dB)", 2),
    Column("ssim", "SSIM", 3),
    Column("usage", "codebook usage", 1, percent=True),
    Column("reconstructions FD (lite2)", "Fréchet distance, lite2", 1),
    Column("reconstructions KD (lite2)", "kernel distance, lite2", 4),
    Column(RECONSTRUCTION, "Fréchet distance, classifier", 2),
    Column("reconstructions FD (lite0)", "Fréchet distance, lite0 (used in the loss)", 1),
    Column("reconstructions KD (lite0)", "kernel distance, lite0 (used in the loss)", 4),
    Column(SECONDS, "seconds per step", 2),
)
SHOWN: Final = 5
"""Images, a row each."""
CROP: Final = 4
"""An image's side over that of its crop, which is enlarged to the image's."""

Found: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
"""Values over seeds by measure and loss."""


@dataclass(frozen=True)
class Perceptual(ImageStudy):
    """See the module."""

    name: ClassVar[str] = "perceptual"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "losses")
    config: PerceptualStudyConfig = field(default_factory=PerceptualStudyConfig)

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`."""
        return list(self.config.losses)

    def kind(self, cell: Cell) -> str:
        """The loss."""
        return cell.setting

    def recipe(self, cell: Cell) -> Recipe:
        """Stage I alone, with 1000 codes."""
        return Recipe(FSQConfig(levels=(8, 5, 5, 5)), head=None, loss=self.config.loss(cell.setting))

    def steps(self) -> str:
        """Stage I's alone."""
        loop = self.config.tokenizer(FSQConfig(), 0).loop
        return f"{loop.steps} steps of {loop.batch_size} images, Stage I alone"

    def prepare(self, out: Path) -> None:
        """See :class:`gridcode.studies.study.Study`; without the weights that measure, nothing is trained."""
        weights_file("lite0"), weights_file("lite2")
        super().prepare(out)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """See :class:`gridcode.studies.study.Study`; with the seconds per step, as the training's log has them."""
        values = super().run_cell(cell, out)
        if values.get("diverged"):
            return values
        loop = self.config.tokenizer(FSQConfig(), cell.seed).loop
        seconds = seconds_of_steps(cell_folder(out, cell) / "tokenizer", loop) / loop.steps
        return values | {"images": len(image_sources(self.config).val), SECONDS: seconds}

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        found = {measure.key: by_setting(results, measure.key) for measure in MEASURES}
        names = {loss: NAMES[loss] for loss in self.config.losses if found[PSNR].get(loss)}
        rows = [
            [measure.title, *(cell_text(found[measure.key].get(loss), measure) for loss in names)]
            for measure in MEASURES
            if found[measure.key]
        ]
        shown = [NAMES[loss] for loss in self.config.losses if PSNR in results.get(Cell(loss, 0), {})]
        note = (
            f"Images, from left to right: {', '.join(['the original', *shown])}; then the crop of each with the most "
            f"detail in the original, enlarged {CROP} times. Distances are those of reconstructions to the same "
            "images. The self-made network and the classifier learned the labels of these data, lite0 and lite2 "
            "those of ImageNet: each grader is closer to one of the two. Seconds per step are those of the clock, on a "
            "machine that cells, and maybe other programs, shared."
        )
        title = f"A network in the loss of Stage I, {self.config.data.dataset}"
        tables = [StudyTable("Reconstructions by loss, at equal steps", ("", *names.values()), rows)]
        count = min((values["images"] for values in results.values() if "images" in values), default=0)
        plotted = [
            measure for measure in MEASURES if measure.key in (PSNR, distance_measure("lite2", count), RECONSTRUCTION)
        ]
        panels = [
            Bars(measure.title, {"": {name: found[measure.key].get(loss, []) for loss, name in names.items()}})
            for measure in plotted
            if found[measure.key]
        ]
        return Summary(title, verdicts(found, count), tables, panels, notes=(note,))

    def save_images(self, out: Path) -> None:
        """``losses.png``: images, their reconstructions by the first seed of each loss, and a crop of all of them.

        A loss whose first seed diverged, or is not finished, is left out.
        """
        cells = [Cell(loss, 0) for loss in self.config.losses]
        measured = [cell for cell in cells if PSNR in (read_result(out, cell) or {})]
        folders = [folder for cell in measured if (folder := cell_folder(out, cell) / "tokenizer").is_dir()]
        if folders:
            val = image_sources(self.config).val
            images = next(eval_batches(fixed_subset(val, SHOWN), self.config.data, batch_size=SHOWN)).images
            decoded = [decoded_by(Tokenizer.from_pretrained(folder), images) for folder in folders]
            save_png(side_by_side([images, *decoded]), out / "losses.png")


@torch.inference_mode()
def decoded_by(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """Reconstructions of images (n, C, H, W) in [-1, 1]."""
    tokenizer.eval()
    return tokenizer.decode(tokenizer.encode(images.to(tokenizer.device))).cpu()


def side_by_side(rows: Sequence[Tensor]) -> ImageArray:
    """A row an image: all versions of it, then the same crop of all versions, enlarged without blur.

    Args:
        rows: The originals and their versions, (n, C, H, W) in [-1, 1] each.

    Returns:
        uint8, (H', W', C).
    """
    crops = enlarged_crops(rows)
    columns = [*rows, *crops]
    return contact_sheet(to_uint8(torch.stack(columns, 1).flatten(0, 1)), columns=len(columns))


def enlarged_crops(rows: Sequence[Tensor]) -> list[Tensor]:
    """Crops of all versions of images where the first version has the most detail, at the images' own size.

    Args:
        rows: Versions of the same images, (n, C, H, W) each.
    """
    first = rows[0].mean(1, keepdim=True)
    height, width = (max(1, side // CROP) for side in first.shape[2:])
    detail = F.pad(first.diff(dim=2).abs(), (0, 0, 0, 1)) + F.pad(first.diff(dim=3).abs(), (0, 1))
    means = F.avg_pool2d(detail, (height, width), stride=1)[:, 0]
    places = [divmod(int(place), means.shape[2]) for place in means.flatten(1).argmax(1)]
    return [
        torch.cat(
            [
                F.interpolate(image[None, :, top : top + height, left : left + width], size=images.shape[2:])
                for image, (top, left) in zip(images, places, strict=True)
            ]
        )
        for images in rows
    ]


def verdicts(found: Found, count: int) -> list[Verdict]:
    """What each network in the loss brings by other graders, what it costs, and how far its own grade flatters.

    Args:
        found: Values over seeds by measure and loss.
        count: Images measured: of few, the kernel distance counts in place of the Fréchet distance.
    """
    lite2, lite0 = (distance_measure(grader, count) for grader in ("lite2", "lite0"))
    graders = {"lite2": lite2, "a classifier of the data": RECONSTRUCTION}
    claims: list[Verdict] = []
    for loss, other in (("lite0", "l2"), ("self", "l2"), ("lite0", "self"), ("shifted", "lite0")):
        for grader, key in graders.items():
            than = "pixels alone do" if other == "l2" else f"{TITLES[other]} does"
            claim = f"{TITLES[loss]} in the loss brings reconstructions nearer to the images than {than}, by {grader}"
            kernel = "KD" in key
            what = f"{'kernel' if kernel else 'Fréchet'} distance"
            claims += _compared(found[key], loss, other, claim, what, 4 if kernel else 2)
    claims += _flattered(found[lite0], found[lite2])
    for loss in ("lite0", "self", "shifted"):
        claim = f"{TITLES[loss]} in the loss costs PSNR"
        claims += _compared(found[PSNR], loss, "l2", claim, "PSNR", 2, " dB", more=_times_as_long(found[SECONDS], loss))
    return claims


def distance_measure(grader: Literal["lite2", "lite0"], count: int) -> str:
    """The key of the distance that verdicts rest on.

    >>> distance_measure("lite2", 1000), distance_measure("lite2", 10_000)
    ('reconstructions KD (lite2)', 'reconstructions FD (lite2)')
    """
    return f"reconstructions {'FD' if count >= 2 * FEATURES else 'KD'} ({grader})"


def _compared(
    measure: Mapping[str, Sequence[float]],
    loss: str,
    other: str,
    claim: str,
    what: str,
    digits: int,
    unit: str = "",
    *,
    more: str = "",
) -> list[Verdict]:
    """A claim that a measure is lower with a loss than with another; nothing where one has no cell."""
    if not (measure.get(loss) and measure.get(other)):
        return []
    change = difference(measure[loss], measure[other], measure.values())
    means = f"{fmean(measure[loss]):.{digits}f} against {fmean(measure[other]):.{digits}f}{unit}"
    figures = f"{what} {means}, {change.text(digits, unit=unit)}{more}"
    return [Verdict(claim, answered(change, expected=-1), figures)]


def _times_as_long(seconds: Mapping[str, Sequence[float]], loss: str) -> str:
    if not (seconds.get(loss) and seconds.get("l2")):
        return ""
    return f"; a step takes {fmean(seconds[loss]) / fmean(seconds['l2']):.1f} times as long"


def _flattered(lite0: Mapping[str, Sequence[float]], lite2: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """Whether lite0 sees more of the distance gone than lite2 does, where lite0 was in the loss."""
    if not all(measure.get(loss) for measure in (lite0, lite2) for loss in ("lite0", "l2")):
        return []
    if min(value for measure in (lite0, lite2) for loss in ("lite0", "l2") for value in measure[loss]) <= 0:
        return []
    # Of each training, by which factor lite0 sees it nearer to the images than lite2 does.
    nearer = {
        loss: [math.log(a / b) for a, b in zip(lite0[loss], lite2[loss], strict=True)] for loss in ("lite0", "l2")
    }
    change = difference(nearer["lite0"], nearer["l2"])
    left = [fmean(measure["lite0"]) / fmean(measure["l2"]) for measure in (lite0, lite2)]
    claim = "lite0 overrates a tokenizer trained with it: it sees less of the distance left than lite2 does"
    shares = f"{percent(left[0])} of what pixels alone leave against {percent(left[1])}"
    figures = f"{shares}; logarithm of the ratio {change.text(2)}"
    return [Verdict(claim, answered(change, expected=-1), figures)]
