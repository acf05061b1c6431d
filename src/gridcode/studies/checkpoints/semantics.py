"""Appendix A.3 of the paper (Figures 8 and 9): does a single code stand for something one sees?

    tokens of real images ─> histogram ─> marginal    every token drawn by itself from the histogram, decoded
                                       └> constant    a whole grid of one of the commonest codes, decoded
    images A, B ┬─> pixel stitch   top half of A, bottom half of B; then encoded and decoded
                └─> token stitch   the same halves of their token grids, decoded

The paper's finding: in neither quantizer does a code mean anything alone; what decodes to an image is how codes stand
together. And halves of token grids decode to much the same as halves of images: a code is about its own place.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from gridcode.data.crop import to_channels
from gridcode.data.image import decode_image
from gridcode.data.loader import eval_batches
from gridcode.data.source import fixed_subset
from gridcode.evaluation.images import contact_sheet, save_png, to_uint8
from gridcode.metrics.image import psnr
from gridcode.studies.checkpoints.base import BATCH, CheckpointStudy, Grader
from gridcode.studies.checkpoints.config import SemanticsConfig
from gridcode.studies.config import LARGE
from gridcode.studies.curves import cell_text
from gridcode.studies.images import image_sources, time_stage_one, train_stage_one
from gridcode.studies.intervals import answered, below, difference, level, paired
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Bars, Column, StudyTable, Summary, Verdict, by_setting
from gridcode.tokenizer.model import Tokenizer

TIMED: Final = 50
"""Images that are decoded to tell how long all of them take."""
SHOWN, SHOWN_LARGE = 6, 4
"""Images in a row, and of large images."""
CONSTANTS: Final = 500
"""Codes, at most, of which a grid each is decoded, the commonest first."""
ROWS: Final = (
    "image A",
    "image B",
    "their halves stitched",
    "the stitch, encoded and decoded",
    "their token grids' halves stitched, decoded",
    "tokens drawn from the marginal histogram",
    "grids of one code, the commonest first",
)
DISTANCES: Final = (
    Column("frechet_reconstructions", "reconstructions"),
    Column("frechet_pixel_stitch", "pixel stitch, encoded and decoded"),
    Column("frechet_token_stitch", "token stitch"),
    Column("frechet_marginal", "tokens from the marginal"),
    Column("frechet_constant", "grids of one code"),
)
"""Fréchet distances to real images."""
SEAM: Final = (
    Column("psnr_pixel_stitch", "pixel stitch, encoded and decoded: PSNR to the stitch (dB)"),
    Column("psnr_token_stitch", "token stitch: PSNR to the stitch (dB)"),
    Column("psnr_between", "PSNR between the two (dB)"),
    Column("tokens_changed", "tokens that differ between the two", 1, percent=True),
    Column("tokens_changed_far", "tokens that differ away from the seam", 1, percent=True),
)
NEAR: Final = 1.0
"""dB that stitching tokens may lose beside stitching pixels."""


@dataclass(frozen=True)
class Semantics(CheckpointStudy):
    """See the module."""

    name: ClassVar[str] = "semantics"
    config: SemanticsConfig = field(default_factory=SemanticsConfig)

    def steps(self) -> str:
        """Stage I's alone."""
        loop = self.config.tokenizer(self.recipe(self.cells()[0]).quantizer, 0).loop
        return f"{loop.steps} steps of {loop.batch_size} images, Stage I alone"

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`."""
        config = self.config
        with tempfile.TemporaryDirectory(prefix="gridcode-") as name:
            tokenizer, seconds = time_stage_one(config, self.recipe(cell), Path(name))
        start = time.perf_counter()
        decode_codes(tokenizer, _images(config, TIMED), seed=0)
        return seconds + (time.perf_counter() - start) * config.evaluation(Path(), 0).count / TIMED

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train the tokenizer, and measure what its codes decode to."""
        config, folder = self.config, cell_folder(out, cell)
        tokenizer = train_stage_one(
            config.tokenizer(self.recipe(cell).quantizer, cell.seed), image_sources(config), folder
        )
        found = decode_codes(tokenizer, _images(config, config.evaluation(out, 0).count), seed=cell.seed)
        save_png(
            contact_sheet(to_uint8(torch.cat(list(found.rows))), columns=len(found.rows[0])), folder / "images.png"
        )
        grader = Grader.of(config, out)
        distances = {f"frechet_{name}": grader.frechet(decoded) for name, decoded in found.decoded.items()}
        return {**distances, **found.seam, "codes_used": found.used}

    def headline(self, values: Values) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        return f"token stitch {values['psnr_token_stitch']:.2f} dB, pixel stitch {values['psnr_pixel_stitch']:.2f} dB"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        names = self.names(results)
        found = {measure.key: by_setting(results, measure.key) for measure in (*DISTANCES, *SEAM)}

        def table(title: str, measures: Sequence[Column]) -> StudyTable:
            rows = [
                [measure.title, *(cell_text(found[measure.key].get(family), measure) for family in names)]
                for measure in measures
            ]
            return StudyTable(title, ("", *names.values()), rows)

        tables = [table("Fréchet distance to real images", DISTANCES), table("Stitched halves", SEAM)]
        features = "EfficientNet-lite0" if self.config.features == "lite0" else "a classifier of the data"
        note = (
            f"Images, from left to right: {', '.join(names.values())}. From top to bottom: {'; '.join(ROWS)}. "
            f"Distances are on features of {features}; there are half as many stitches as reconstructions and at most "
            f"{CONSTANTS} grids of one code, and fewer images are a little farther by chance."
        )
        title = f"What single codes decode to, {self.config.data.dataset}"
        # Measurements of a training are compared in pairs, so one that lacks a distance has no part in the answers.
        whole = {
            cell: values
            for cell, values in results.items()
            if all(values.get(one.key) is not None for one in DISTANCES)
        }
        paired_figures = {measure.key: by_setting(whole, measure.key) for measure in (*DISTANCES, *SEAM)}
        series = {
            name: {measure.title: found[measure.key].get(family, []) for measure in DISTANCES}
            for family, name in names.items()
        }
        panels = [Bars("Fréchet distance to real images", series, log=True)] if series else []
        return Summary(title, semantics_verdicts(paired_figures, names), tables, panels, notes=(note,))

    def save_images(self, out: Path) -> None:
        """``codes.png``: the rows of each quantizer's first seed, side by side."""
        cells = [cell for cell in self.cells() if cell.seed == 0]
        files = [cell_folder(out, cell) / "images.png" for cell in cells]
        sheets = [to_channels(decode_image(file, name=str(file)), 3) for file in files if file.is_file()]
        if sheets:
            save_png(np.concatenate(sheets, axis=1), out / "codes.png")


@dataclass(frozen=True)
class Decoded:
    """What codes of real images decode to when they stand otherwise.

    Attributes:
        decoded: Images (n, C, H, W) in [-1, 1] by name.
        rows: (n, C, H, W) each, in the order of ROWS.
        seam: Figures of the stitched halves by name.
        used: Codes that occur.
    """

    decoded: Mapping[str, Tensor]
    rows: Sequence[Tensor]
    seam: Mapping[str, float]
    used: int


def decode_codes(tokenizer: Tokenizer, images: Tensor, *, seed: int) -> Decoded:
    """Decode marginal, constant and stitched token grids.

    Args:
        tokenizer: In evaluation mode, with one token a place.
        images: Real images (n, C, H, W) in [-1, 1], at least two.
        seed: Of the pairs and of the drawn tokens.
    """
    draw = torch.Generator().manual_seed(seed)
    tokens = encode(tokenizer, images)
    n, h, w = tokens.shape
    counts = torch.bincount(tokens.flatten(), minlength=tokenizer.codebook_size)
    marginal = torch.multinomial(counts.float(), n * h * w, replacement=True, generator=draw).view(n, h, w)
    commonest = counts.argsort(descending=True, stable=True)[: min(CONSTANTS, int((counts > 0).sum()))]
    a, b = torch.randperm(n, generator=draw)[: n // 2 * 2].chunk(2)
    half = h // 2
    # The token rows of the upper half end where its pixels do.
    stitched_tokens = torch.cat([tokens[a, :half], tokens[b, half:]], dim=1)
    height = half * (images.shape[2] // h)
    stitch = torch.cat([images[a, :, :height], images[b, :, height:]], dim=2)
    stitch_tokens = encode(tokenizer, stitch)
    decoded = {
        "reconstructions": decode(tokenizer, tokens),
        "pixel_stitch": decode(tokenizer, stitch_tokens),
        "token_stitch": decode(tokenizer, stitched_tokens),
        "marginal": decode(tokenizer, marginal),
        "constant": decode(tokenizer, commonest[:, None, None].expand(-1, h, w)),
    }
    changed = (stitch_tokens != stitched_tokens).float()
    far = torch.tensor([row not in (half - 1, half) for row in range(h)])
    seam = {
        "psnr_pixel_stitch": _psnr(decoded["pixel_stitch"], stitch),
        "psnr_token_stitch": _psnr(decoded["token_stitch"], stitch),
        "psnr_between": _psnr(decoded["token_stitch"], decoded["pixel_stitch"]),
        "tokens_changed": float(changed.mean()),
        "tokens_changed_far": float(changed[:, far].mean()) if far.any() else 0.0,
    }
    shown = [images[a], images[b], stitch, *(decoded[name] for name in ("pixel_stitch", "token_stitch", "marginal"))]
    columns = torch.arange(SHOWN if images.shape[-1] < LARGE else SHOWN_LARGE)
    rows = [row[columns % len(row)] for row in (*shown, decoded["constant"])]
    return Decoded(decoded, rows, seam, int((counts > 0).sum()))


def _images(config: SemanticsConfig, count: int) -> Tensor:
    """At most ``count`` validation images (n, C, H, W) in [-1, 1]."""
    source = fixed_subset(image_sources(config).val, count)
    return torch.cat([batch.images for batch in eval_batches(source, config.data, batch_size=BATCH)])


def encode(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """Token grids (n, h, w) of images, on the CPU."""
    return torch.cat([tokenizer.encode(part.to(tokenizer.device)).cpu() for part in torch.split(images, BATCH)])


def decode(tokenizer: Tokenizer, tokens: Tensor) -> Tensor:
    """Images of token grids (n, h, w), on the CPU."""
    return torch.cat([tokenizer.decode(part.to(tokenizer.device)).cpu() for part in torch.split(tokens, BATCH)])


def _psnr(images: Tensor, truth: Tensor) -> float:
    return fmean(psnr(images, truth).tolist())


def semantics_verdicts(found: Mapping[str, Mapping[str, Sequence[float]]], names: Mapping[str, str]) -> list[Verdict]:
    """Answers to the paper's claims.

    Args:
        found: Figures over seeds by measure and family.
        names: The families' titles.
    """
    verdicts = []
    real, marginal = found["frechet_reconstructions"], found["frechet_marginal"]
    for what, decoded in (
        ("tokens drawn from the marginal", marginal),
        ("grids of one code", found["frechet_constant"]),
    ):
        for family, name in names.items():
            if real.get(family) and decoded.get(family):
                change = paired(decoded[family], real[family])
                figures = f"their Fréchet distance minus that of reconstructions: {change.text(2)}"
                claim = f"{what} do not decode to images like the real ones, {name}"
                verdicts.append(Verdict(claim, answered(change, expected=1), figures))
    for family, name in names.items():
        tokens, pixels = found["psnr_token_stitch"].get(family), found["psnr_pixel_stitch"].get(family)
        if tokens and pixels:
            loss = paired(pixels, tokens)
            lost = loss.text(2, unit=" dB")
            figures = f"PSNR of stitched pixels, through the tokenizer, minus that of stitched tokens: {lost}"
            claim = f"stitching tokens costs less than {NEAR:g} dB of PSNR compared with stitching pixels, {name}"
            verdicts.append(Verdict(claim, below(loss, NEAR), figures))
    vqs = [family for family in names if family != "fsq" and marginal.get(family)]
    if vqs and marginal.get("fsq"):
        change = difference(marginal["fsq"], marginal[vqs[0]])
        figures = f"FSQ's distance minus that of {names[vqs[0]]}: {change.text(2)}"
        claim = "tokens from the marginal are as far from real images with FSQ as with VQ, within 10 %"
        verdicts.append(Verdict(claim, level(change, margin=0.1 * fmean(marginal[vqs[0]])), figures))
    return verdicts
