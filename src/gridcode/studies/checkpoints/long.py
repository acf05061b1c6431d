"""FSQ and VQ trained several times as long as the other studies do: usage, quality and bits over time.

    log of Stage I   ─> PSNR, usage, perplexity by step      what a short run says of a codebook may not last
    log of Stage II  ─> loss of hidden tokens by step
    both at the end  ─> all that ``gridcode eval`` reports

Asked of it: does FSQ's usage last, does VQ's recover or fall on, and does the lead of the short run stay?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Final

from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.report import overview
from gridcode.evaluation.images import save_png
from gridcode.evaluation.publish import log_points
from gridcode.prior.config import PriorRun
from gridcode.studies.checkpoints.base import CheckpointStudy
from gridcode.studies.checkpoints.config import LongConfig
from gridcode.studies.codebooks.tradeoff import NAMES
from gridcode.studies.curves import MEASURES, Curve, Curves, cell_text, curve_panels
from gridcode.studies.images import image_sources, measure, time_image_cell, train_stage_one, train_stage_two
from gridcode.studies.intervals import above, answered, difference, paired, percent
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Column, StudyTable, Summary, Verdict, by_setting
from gridcode.training.log import read_log

STAGE_ONE: Final = (Column("psnr", "PSNR (dB)"), Column("usage", "codebook usage", 1, percent=True))
STAGE_TWO: Final = (
    Column("loss", "loss of hidden tokens (bits)"),
    Column("accuracy", "hidden tokens guessed", 1, True),
)
LASTS: Final = 0.9
"""What share of its usage a codebook keeps that lasts."""
LOGGED: Final = (*STAGE_ONE, *STAGE_TWO)
"""Curves by the names that the validations in the logs have."""


@dataclass(frozen=True)
class Long(CheckpointStudy):
    """See the module."""

    name: ClassVar[str] = "long"
    config: LongConfig = field(default_factory=LongConfig)

    def runs(self, cell: Cell) -> tuple[TokenizerRun, PriorRun]:
        """Both stages' settings, longer."""
        first = self.config.tokenizer(self.recipe(cell).quantizer, cell.seed)
        second = self.config.prior(cell.seed)
        longer = self.config.longer
        return replace(first, loop=longer(first.loop)), replace(second, loop=longer(second.loop))

    def steps(self) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        first, second = (run.loop for run in self.runs(self.cells()[0]))
        return f"{first.steps} and {second.steps} steps of {first.batch_size} images"

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`: a short cell's time, so often."""
        return self.config.length * time_image_cell(self.config, self.recipe(cell))

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train both stages for long, measure them, and read their logs."""
        config, folder = self.config, cell_folder(out, cell)
        stage_one, stage_two = self.runs(cell)
        tokenizer = train_stage_one(stage_one, image_sources(config), folder)
        generator = train_stage_two(tokenizer, image_sources(config), config.data, stage_two, folder)
        found = measure(config, generator, config.evaluation(out, cell.seed))
        save_png(overview(found), folder / "overview.png")
        return dict(found.figures()) | {"curves": curves_of_logs(folder)}

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        names = self.names(results)
        curves = {column.key: {family: _curve(results, family, column.key) for family in names} for column in LOGGED}
        found = {measure.key: by_setting(results, measure.key) for measure in MEASURES}
        rows = [
            [measure.title, *(cell_text(found[measure.key].get(family), measure) for family in names)]
            for measure in MEASURES
            if found[measure.key]
        ]
        keys = [column.key for column in LOGGED]
        title = f"{self.config.length:g} times as long, {self.config.data.dataset}"
        return Summary(
            title,
            long_verdicts(curves, 1 / self.config.length),
            [StudyTable("At the end", ("", *names.values()), rows)],
            curve_panels(curves, names, x="step", measures=LOGGED, plotted=keys),
            notes=("Curves are of validations during training, of at most 500 images.",),
        )


def _curve(results: Mapping[Cell, Values], family: str, key: str) -> dict[float, list[float]]:
    """Values over seeds by step."""
    curve: dict[float, list[float]] = {}
    for cell, values in results.items():
        for step, value in values["curves"].get(key, []) if cell.setting == family else []:
            curve.setdefault(step, []).append(value)
    return curve


def curves_of_logs(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Points (step, value) of every validation curve of a cell; the prior's loss in bits."""
    curves: dict[str, Any] = {}
    for stage, columns in (("tokenizer", STAGE_ONE), ("prior", STAGE_TWO)):
        lines = read_log(folder / stage)
        curves |= {column.key: log_points(lines, f"val/{column.key}") for column in columns}
    curves["loss"] = [(step, nats / math.log(2)) for step, nats in curves["loss"]]
    return curves


def long_verdicts(curves: Mapping[str, Curves], share: float) -> list[Verdict]:
    """What lasts of the figures of a short run.

    Args:
        curves: The logged measures by name, each by family and step.
        share: The short run's share of the steps.
    """
    found = []
    for family, curve in curves["usage"].items():
        if len(curve) > 1:
            found.append(_usage(curve, share, family))
    psnr = curves["psnr"]
    vqs = [family for family in psnr if family != "fsq" and psnr[family]]
    if not psnr.get("fsq") or not vqs:
        return found
    fsq, vq, name = psnr["fsq"], psnr[vqs[0]], NAMES[vqs[0]]
    early, last = _early(fsq, share), max(fsq)
    if early not in vq or last not in vq:
        return found
    lead = difference(fsq[last], vq[last])
    figures = f"PSNR at step {last:g} minus that of {name}: {lead.text(2, unit=' dB')}"
    found.append(Verdict("FSQ reconstructs better than VQ after the long run", answered(lead, expected=1), figures))
    if early < last and difference(fsq[early], vq[early]).sign == 1:
        gains = [[end - start for start, end in zip(curve[early], curve[last], strict=True)] for curve in (fsq, vq)]
        change = difference(gains[0], gains[1])
        figures = f"from step {early:g} to {last:g} FSQ's lead in PSNR changes by {change.text(2, unit=' dB')}"
        claim = "FSQ's lead of the short run gets smaller"
        found.append(Verdict(claim, answered(change, expected=-1), figures))
    return found


def _early(curve: Curve, share: float) -> float:
    """The step of the curve that is nearest to the short run's end."""
    end = max(curve) * share
    return min(curve, key=lambda step: (abs(step - end), step))


def _usage(curve: Curve, share: float, family: str) -> Verdict:
    """FSQ's usage lasts; VQ's falls on. The paper shows ends of runs alone, so this is asked, not claimed."""
    early, last = _early(curve, share), max(curve)
    change = paired(curve[last], curve[early])
    figures = f"{percent(fmean(curve[early]))} at step {early:g}, {percent(fmean(curve[last]))} at step {last:g}"
    if family == "fsq":
        kept = paired(curve[last], [LASTS * value for value in curve[early]])
        figures += f"; more than {percent(LASTS)} of the former by {kept.text(1, scale=100, unit=' points')}"
        return Verdict(f"FSQ keeps at least {percent(LASTS)} of its usage to the end", above(kept, 0), figures)
    text = f"{figures}; {change.text(1, scale=100, unit=' points')}"
    return Verdict(f"usage of {NAMES[family]} recovers with more steps", answered(change, expected=1), text)
