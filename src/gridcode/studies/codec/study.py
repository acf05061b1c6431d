"""Images in small files: rate against quality, gridcode beside JPEG, WebP, AVIF and JPEG XL.

    cell            points
    gridcode        one for each rate of the model
    jpeg, …         one for each quality
    jpeg-2, …       the same with the sides halved, and what comes back enlarged
    tried-…         one for each rate of a further model, its tokens packed without a prior
    profile         of each rate of the model: where the bits and the errors go (profile.py)

    image ─> bytes ─> image      PSNR, SSIM, MS-SSIM      against the original, mean over images
                       │         distance by lite2        took no part in any training
                       └─> Fréchet distance of lite2's features at every 32nd pixel, to those of the originals

Bits per pixel count the whole file, headers included. The formats are compared at gridcode's rates by the lines between
their points, over the logarithm of the rate; where a format has no file so small, by its smallest, which has more bits.
Where gridcode's rate is above all that a line has, there is no verdict.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import ClassVar, Final

import numpy as np

from gridcode.data.config import DataConfig
from gridcode.data.crop import to_channels
from gridcode.data.open import open_split
from gridcode.data.source import fixed_subset
from gridcode.domains.image.compress import Codec
from gridcode.domains.image.rate import Rate
from gridcode.evaluation.images import contact_sheet, save_png
from gridcode.features.efficientnet import weights_file
from gridcode.studies.checkpoints.base import swept
from gridcode.studies.codec.config import QUALITIES, REDUCED, CodecStudyConfig, FormatName
from gridcode.studies.codec.formats import NAMES, Pixels, check_format, decoded, encoded, encoded_within
from gridcode.studies.codec.judge import MEASURES, RATE, Judge, Point, Way
from gridcode.studies.codec.profile import BANDS, profile_of
from gridcode.studies.codec.verdicts import LEAD, OURS, verdicts
from gridcode.studies.curves import row_of
from gridcode.studies.results import weights_below
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import Panel, Series, StudyTable, Summary

PROFILE: Final = "profile"
PROFILED: Final = 10
"""Images of the profile, at most."""
SHOWN: Final = 4
"""Images on the contact sheet."""
CROP: Final = (160, 240)
"""Height and width of what is shown of each, at most."""
TRIED: Final = "tried"


@dataclass(frozen=True)
class CodecStudy(Study):
    """See the module."""

    name: ClassVar[str] = "codec"
    paths: ClassVar[tuple[str, ...]] = ("model", "tried")
    choices: ClassVar[tuple[str, ...]] = ("formats", "factors", "tried")
    config: CodecStudyConfig = field(default_factory=CodecStudyConfig)

    def weights(self) -> dict[str, str]:
        """Of the model, and of the further ones."""
        return {"model": weights_below(self.config.model)} | {
            setting: weights_below(model) for setting, model in self._tried().items()
        }

    def cells(self) -> list[Cell]:
        """Gridcode and each format at each of its sizes; nothing in it depends on a seed."""
        return [Cell(setting, 0) for setting in (OURS, *self._lines(), *self._tried(), PROFILE)]

    def _lines(self) -> dict[str, str]:
        """Titles of the formats' lines, by the cell's setting."""
        titles: dict[str, str] = {}
        for name in self.config.formats:
            titles[name] = NAMES[name]
            for factor in self.config.factors if name in self.config.reduced else ():
                titles[f"{name}-{factor}"] = f"{NAMES[name]}, sides / {factor}"
        return titles

    def _tried(self) -> dict[str, str]:
        """Further models, by the cell's setting."""
        return {f"{TRIED}-{PurePath(model).name}": model for model in self.config.tried}

    def kind(self, cell: Cell) -> str:
        """The cell's own."""
        return cell.setting

    def prepare(self, out: Path) -> None:
        """Nothing is made; what is missing is told."""
        weights_file("lite2")
        for name in self.config.formats:
            check_format(name)

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`: by one image; all cells say at once what is missing."""
        self.prepare(Path())
        originals, ways = study_images(self.config), self._ways(cell)
        way = next(iter(ways.values()))
        if cell.setting == PROFILE:
            start = time.perf_counter()
            way(originals[0])
            return (time.perf_counter() - start) * min(PROFILED, len(originals)) * len(ways)
        alone = Judge.of(originals[:1])
        start = time.perf_counter()
        alone.point(way)
        return (time.perf_counter() - start) * len(originals) * len(ways)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Measure every rate or quality, or go on with them."""
        folder = cell_folder(out, cell)
        if cell.setting == PROFILE:
            shown = study_images(self.config)[:PROFILED]
            rates = {
                name: partial(profile_of, Codec((rate,)), shown, self.config.coder)
                for name, rate in rates_of(self.config.model).items()
            }
            return {"profile": swept(rates, folder / "points.json"), "images": len(shown)}
        judge = Judge.of(study_images(self.config))
        points = {name: partial(judge.point, way) for name, way in self._ways(cell).items()}
        return {"points": swept(points, folder / "points.json"), "images": len(judge.originals)}

    def _ways(self, cell: Cell) -> dict[str, Way]:
        """What makes a file and an image again, by the point's name."""
        tried = self._tried().get(cell.setting)
        if tried is not None or cell.setting in (OURS, PROFILE):
            coder = self.config.coder if tried is None else "raw"
            return {
                name: partial(through_codec, codec=Codec((rate,)), coder=coder)
                for name, rate in rates_of(tried or self.config.model).items()
            }
        form: FormatName
        form, factor = cell.setting.partition("-")[::2]  # type: ignore[assignment]
        return {
            str(quality): partial(through_format, name=form, quality=quality, factor=int(factor or 1))
            for quality in (REDUCED if factor else QUALITIES)[form]
        }

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        if "profile" in values:
            return ", ".join(f"{found['bits_per_token']:.2f} bits per token" for found in values["profile"].values())
        least = min(values["points"].values(), key=lambda point: float(point[RATE]))
        return f"{least['psnr_db']:.2f} dB at its lowest rate, {least[RATE]:.3f} bits per pixel"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        curves: dict[str, list[tuple[str, Point]]] = {
            cell.setting: sorted(values["points"].items(), key=lambda item: float(item[1][RATE]))
            for cell, values in results.items()
            if cell.setting == OURS or cell.setting in self._lines()
        }
        names = {OURS: OURS, **self._lines()}
        tables = [
            StudyTable(
                names[line],
                ("rate" if line == OURS else "quality", "bits per pixel", *(measure.title for measure in MEASURES)),
                [[name, f"{point[RATE]:.4f}", *row_of(point, MEASURES)] for name, point in found],
            )
            for line, found in curves.items()
        ]
        further = {model: results.get(Cell(setting, 0)) for setting, model in self._tried().items()}
        tables += [tried_table({PurePath(model).name: found["points"] for model, found in further.items() if found})]
        tables += [profile_table(values["profile"]) for cell, values in results.items() if cell.setting == PROFILE]
        panels = [
            Panel(
                measure.title,
                [
                    Series(
                        names[line], {point[RATE]: [point[measure.key]] for _, point in found if measure.key in point}
                    )
                    for line, found in curves.items()
                ],
                x="bits per pixel",
                log_x=True,
            )
            for measure in MEASURES
            if any(measure.key in point for found in curves.values() for _, point in found)
        ]
        points = {line: [point for _, point in found] for line, found in curves.items()}
        count = max((values["images"] for values in results.values()), default=0)
        columns = ", ".join(["the original", OURS, *(names[name] for name in self.config.formats)])
        reduced = [NAMES[name] for name in self.config.reduced if name in self.config.formats]
        smaller = f" ({' and '.join(reduced)} perhaps of smaller sides)" if reduced and self.config.factors else ""
        halved = ", halved by the mean of four pixels" if self.config.halve else ""
        note = (
            f"{count} images at their own size{halved}; means over images. A lead of under {percent(LEAD)} counts "
            "for none. lite2 took no part in any training. Its places are its last features at every 32nd "
            f"pixel. Shown are crops: {columns}; of a format the best file of no more bytes "
            f"than gridcode's at its lowest rate{smaller}, or its smallest. Optimised progressive JPEG with 4:2:0, "
            "WebP by method 6, AVIF at speed 4, JPEG XL at effort 7; smaller sides by Lanczos's filter, and enlarged "
            "bicubically."
        )
        title = f"Small files, {self.config.data.dataset}{', halved' if self.config.halve else ''}"
        found = verdicts(points, self._lines(), self.config.rates)
        return Summary(title, found, [table for table in tables if table.rows], panels, notes=(note,))

    def save_images(self, out: Path) -> None:
        """``equal-bytes.png``: crops of images through gridcode at its lowest rate, and through each format."""
        shown = study_images(self.config)[:SHOWN]
        lowest = Codec(codec_of(self.config.model).rates[-1:])
        rows = []
        for original in shown:
            data = lowest.compress(original, coder=self.config.coder)
            files = [
                encoded_within(
                    original,
                    name,
                    len(data),
                    factors=(1, *(self.config.factors if name in self.config.reduced else ())),
                )
                for name in self.config.formats
            ]
            rows += [original, lowest.decompress(data), *(decoded(file, original) for file in files)]
        height, width = (min(CROP[axis], max(image.shape[axis] for image in rows)) for axis in (0, 1))
        sheet = [to_channels(_middle(image, height, width), 3) for image in rows]
        save_png(contact_sheet(np.stack(sheet), columns=2 + len(self.config.formats)), out / "equal-bytes.png")


def tried_table(models: Mapping[str, Mapping[str, Point]]) -> StudyTable:
    """Every rate of further models."""
    rows = [
        [model, rate, f"{point[RATE]:.4f}", *row_of(point, MEASURES)]
        for model, points in models.items()
        for rate, point in points.items()
    ]
    columns = ("model", "rate", "bits per pixel", *(measure.title for measure in MEASURES))
    return StudyTable("Also tried, with the tokens packed as they are, without a prior", columns, rows)


def profile_table(rates: Mapping[str, Values]) -> StudyTable:
    """Where the bits and the errors of each rate go."""
    rows = [
        [
            name,
            percent(found["coded_share"]),
            f"{found['bits_per_token']:.2f} of {found['most_bits_per_token']:.2f}",
            *(
                f"{percent(error)} ({percent(kept)})"
                for error, kept in zip(found["error_share"], found["kept_share"], strict=True)
            ),
        ]
        for name, found in rates.items()
    ]
    title = (
        "Where gridcode's bits and errors go: by period the share of the squared error, and in brackets how much of "
        "the image's energy is kept (below 0: the error is larger than what was there)"
    )
    bands = (f"{band} px" for band in BANDS)
    return StudyTable(title, ("rate", "tokens' share of the file", "bits per token", *bands), rows)


def percent(share: float) -> str:
    """A share as whole per cent.

    >>> percent(0.316), percent(-0.0002)
    ('32 %', '0 %')
    """
    return f"{round(100 * share)} %"


def through_format(image: Pixels, *, name: FormatName, quality: int, factor: int = 1) -> tuple[int, Pixels]:
    """An image as a file of a format, and back."""
    data = encoded(image, name, quality, factor=factor)
    return len(data), decoded(data, image)


def through_codec(image: Pixels, *, codec: Codec, coder: str | None) -> tuple[int, Pixels]:
    """An image as gridcode's file, and back."""
    data = codec.compress(image, coder=coder)  # type: ignore[arg-type]
    return len(data), codec.decompress(data)


@lru_cache(maxsize=1)
def codec_of(model: str) -> Codec:
    """A model, loaded once a process."""
    return Codec.from_pretrained(model)


def rates_of(model: str) -> dict[str, Rate]:
    """A model's rates, by the point's name."""
    rates: dict[str, Rate] = {}
    for rate in codec_of(model).rates:
        point = f"{rate.tokenizer.config.downsampling} px, {rate.tokenizer.codebook_size} codes"
        if point in rates:
            point += f", {rate.tokenizer.weights_hash()}"
        rates[point] = rate
    return rates


@lru_cache(maxsize=1)
def study_images(config: CodecStudyConfig) -> list[Pixels]:
    """The study's images, at their own size, read once a process."""
    return list(_read(config.data, config.count, halve=config.halve))


def _read(data: DataConfig, count: int, *, halve: bool) -> Iterator[Pixels]:
    source = fixed_subset(open_split(data, "val"), count)
    for index in range(len(source)):
        image = source[index].image
        yield halved(image) if halve else image


def halved(image: Pixels) -> Pixels:
    """An image of half the sides, each pixel the mean of four; an odd last row or column is left out.

    >>> halved(np.array([[[0], [2], [9]], [[4], [6], [9]]], np.uint8)).tolist()
    [[[3]]]
    """
    height, width = (side // 2 for side in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, image.shape[2])
    means: Pixels = blocks.mean((1, 3)).round().astype(np.uint8)
    return means


def _middle(image: Pixels, height: int, width: int) -> Pixels:
    """The middle of an image, (height, width, C); what it lacks is grey."""
    top, left = (max(0, (side - wanted) // 2) for side, wanted in zip(image.shape, (height, width), strict=False))
    part = image[top : top + height, left : left + width]
    found = np.full((height, width, image.shape[2]), 128, np.uint8)
    found[: part.shape[0], : part.shape[1]] = part
    return found
