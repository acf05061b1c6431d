"""What FSQ loses with its codebook (section 3.3 of the paper): do dense layers at the bottleneck give it back?

    setting              what is trained
    images-fsq-2         a tokenizer of images with FSQ and 2 dense layers on each side of the bottleneck
    images-vq-0          the same with MaskGIT's VQ, without them
    spirals-fsq-4        points on two spirals, FSQ behind an encoder of 4 hidden layers      (points.py)
    ring-vq-0            64 clusters on a circle, VQ behind a linear encoder

A VQ's codebook has parameters that FSQ has not. The paper added dense layers to make up for them and saw no gain: the
networks have capacity enough. Points in the plane are the other end: their partition is far from a grid, and a linear
encoder cannot bend them onto one, so that VQ should win, until the encoder is deep enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Final

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.report import overview
from gridcode.evaluation.images import save_png
from gridcode.studies.capacity.config import CapacityConfig
from gridcode.studies.capacity.points import PointQuantizer, train_points
from gridcode.studies.codebooks.tradeoff import quantizer_of
from gridcode.studies.curves import (
    PSNR,
    RECONSTRUCTION,
    Curve,
    Curves,
    cell_text,
    curve_panels,
    curve_table,
    curves_of,
)
from gridcode.studies.images import ImageStudy, Recipe, image_sources, measure, time_image_cell, train_stage_one
from gridcode.studies.intervals import answered, below, contrast, difference
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Column, Panel, Series, StudyTable, Summary, Verdict

IMAGES: Final = "images"
TITLES: Final = {"spirals": "points on two spirals", "ring": "64 clusters on a circle"}
NAMES: Final = {"fsq": "FSQ", "vq": "VQ"}
OF_IMAGES: Final = (
    Column(PSNR, "PSNR (dB)", 2),
    Column(RECONSTRUCTION, "Fréchet distance, reconstructions", 3),
    Column("usage", "codebook usage", 1, percent=True),
    Column("perplexity", "perplexity", 0),
)
OF_POINTS: Final = (Column("snr_db", "signal to noise (dB)", 1), Column("usage", "codebook usage", 1, percent=True))
HELP: Final = 0.2
"""dB from which on added layers count as help."""
TAKEN_BACK: Final = 0.5
"""dB that VQ may be ahead where its lead counts as gone."""


@dataclass(frozen=True)
class Part:
    """What a cell is about.

    Attributes:
        data: 'images', or the points' target.
        quantizer: 'fsq' or 'vq'.
        layers: Dense layers at the bottleneck, or hidden layers of the points' encoder.
    """

    data: str
    quantizer: PointQuantizer
    layers: int

    @staticmethod
    def of(cell: Cell) -> Part:
        """The cell's.

        >>> Part.of(Cell("ring-vq-2", 0))
        Part(data='ring', quantizer='vq', layers=2)
        """
        data, quantizer, layers = cell.setting.split("-")
        return Part(data, quantizer, int(layers))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Capacity(ImageStudy):
    """See the module."""

    name: ClassVar[str] = "capacity"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "dense", "targets", "depths")
    config: CapacityConfig = field(default_factory=CapacityConfig)

    def cell_settings(self) -> list[str]:
        """Images come first, as they take longest."""
        settings = [f"{IMAGES}-fsq-{dense}" for dense in self.config.dense] + [f"{IMAGES}-vq-0"]
        settings += [
            f"{target}-{quantizer}-{depth}"
            for target in self.config.targets
            for quantizer in NAMES
            for depth in self.config.depths
        ]
        return settings

    def kind(self, cell: Cell) -> str:
        """Images by quantizer, or points."""
        part = Part.of(cell)
        return f"{IMAGES}, {part.quantizer}" if part.data == IMAGES else "points"

    def recipe(self, cell: Cell) -> Recipe:
        """Stage I alone, with 1024 codes."""
        return Recipe(quantizer_of("fsq-1024" if Part.of(cell).quantizer == "fsq" else "vq_entropy-1024"), head=None)

    def steps(self) -> str:
        """Stage I's alone, and the points'."""
        loop = self.run(self.cells()[0]).loop
        return (
            f"{loop.steps} steps of {loop.batch_size} images, Stage I alone; {self.config.point_steps} steps of 512 "
            "points"
        )

    def run(self, cell: Cell) -> TokenizerRun:
        """Stage I of a cell of images."""
        run = self.config.tokenizer(self.recipe(cell).quantizer, cell.seed)
        assert isinstance(run.model, TokenizerConfig)
        return replace(run, model=replace(run.model, dense=Part.of(cell).layers))

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`; added layers cost little and are left out."""
        if Part.of(cell).data == IMAGES:
            return time_image_cell(self.config, self.recipe(cell))
        start, steps = time.perf_counter(), max(10, self.config.point_steps // 50)
        self._of_points(cell, steps)
        return (time.perf_counter() - start) * self.config.point_steps / steps

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train and measure a tokenizer of images, or of points."""
        if Part.of(cell).data != IMAGES:
            return self._of_points(cell, self.config.point_steps)
        folder = cell_folder(out, cell)
        tokenizer = train_stage_one(self.run(cell), image_sources(self.config), folder)
        found = measure(self.config, tokenizer, self.config.evaluation(out, cell.seed))
        save_png(overview(found), folder / "overview.png")
        return dict(found.figures()) | {"parameters": tokenizer.parameter_count}

    def _of_points(self, cell: Cell, steps: int) -> Values:
        part = Part.of(cell)
        found = train_points(part.data, part.quantizer, part.layers, steps=steps, seed=cell.seed)  # type: ignore[arg-type]
        return {"snr_db": found.snr_db, "usage": found.usage}

    def headline(self, values: Values) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        quality = f"{values['snr_db']:.1f} dB" if "snr_db" in values else f"{values[PSNR]:.2f} dB"
        return f"{quality}, usage {values['usage']:.0%}"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        config, verdicts, tables, panels = self.config, list[Verdict](), list[StudyTable](), list[Panel]()
        lines = {
            "fsq": {float(dense): [f"{IMAGES}-fsq-{dense}"] for dense in config.dense},
            "vq": {0.0: [f"{IMAGES}-vq-0"]},
        }
        curves = curves_of(results, lines, OF_IMAGES)
        x = "dense layers"
        verdicts += [] if (found := dense_verdict(curves[PSNR]["fsq"])) is None else [found]
        for quantizer, name in NAMES.items():
            title = f"Images, {name}"
            tables.append(curve_table(curves, quantizer, title=title, x=x, label="{:g}".format, measures=OF_IMAGES))
        panels += curve_panels(curves, NAMES, x=x, measures=OF_IMAGES, plotted=(PSNR,))
        for target in config.targets:
            of_target = {
                quantizer: {float(depth): [f"{target}-{quantizer}-{depth}"] for depth in config.depths}
                for quantizer in NAMES
            }
            points = curves_of(results, of_target, OF_POINTS)
            verdicts += point_verdicts(points["snr_db"], TITLES[target])
            tables.append(_points_table(points, TITLES[target], config.depths))
            series = [Series(name, points["snr_db"][quantizer]) for quantizer, name in NAMES.items()]
            if any(line.points for line in series):
                panels.append(Panel(f"{TITLES[target]}: dB", series, x="hidden layers of the encoder"))
        title = f"Layers in place of a codebook, {config.data.dataset} and points in the plane"
        return Summary(title, verdicts, [table for table in tables if table.rows], panels)


def _points_table(points: Mapping[str, Curves], title: str, depths: Sequence[int]) -> StudyTable:
    """A row for each depth; both measures of both quantizers."""
    pairs = [(measure, quantizer) for measure in OF_POINTS for quantizer in NAMES]
    rows = [
        [str(depth), *(cell_text(points[measure.key][quantizer].get(depth), measure) for measure, quantizer in pairs)]
        for depth in depths
    ]
    head = ("hidden layers", *(f"{NAMES[quantizer]}: {measure.title}" for measure, quantizer in pairs))
    return StudyTable(title.capitalize(), head, [row for row in rows if any(row[1:])])


def dense_verdict(psnr: Curve) -> Verdict | None:
    """Whether the most dense layers help FSQ; None where there is nothing to compare.

    Args:
        psnr: PSNR over seeds by number of layers.
    """
    least, most = min(psnr, default=0.0), max(psnr, default=0.0)
    if least == most:
        return None
    change = difference(psnr[most], psnr[least], psnr.values())
    figures = f"PSNR with {most:g} layers minus that with {least:g}: {change.text(2, unit=' dB')}"
    claim = f"more dense layers at the bottleneck improve FSQ's PSNR by less than {HELP:g} dB"
    return Verdict(claim, below(change, HELP), figures)


def point_verdicts(snr: Curves, title: str) -> list[Verdict]:
    """Whether VQ wins with the shallowest encoder, and whether the deepest takes it back.

    Args:
        snr: dB over seeds by quantizer and hidden layers.
        title: The points'.
    """
    both = sorted(set(snr.get("fsq", {})) & set(snr.get("vq", {})))
    if not both:
        return []
    fsq, vq = snr["fsq"], snr["vq"]
    groups = [*fsq.values(), *vq.values()]
    first, last = both[0], both[-1]
    lead = difference(vq[first], fsq[first], groups)
    encoder = "a linear encoder" if first == 0 else f"{first:g} hidden layers"
    figures = f"VQ's signal-to-noise ratio minus FSQ's: {lead.text(1, unit=' dB')}"
    found = [Verdict(f"VQ is ahead of FSQ with {encoder}: {title}", answered(lead, expected=1), figures)]
    if first < last and lead.sign == 1:
        end = difference(vq[last], fsq[last], groups)
        figures = f"VQ's lead with {last:g} hidden layers: {end.text(1, unit=' dB')}"
        claim = f"a deeper encoder takes VQ's lead away: {title}"
        found.append(Verdict(claim, below(end, TAKEN_BACK), figures))
        change = contrast([(1, vq[first]), (-1, fsq[first]), (-1, vq[last]), (1, fsq[last])], groups)
        figures = f"from {first:g} to {last:g} hidden layers it falls by {change.text(1, unit=' dB')}"
        claim = f"a deeper encoder makes VQ's lead smaller: {title}"
        found.append(Verdict(claim, answered(change, expected=1), figures))
    return found
