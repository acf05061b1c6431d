"""Figure 4 of the paper: precision and recall of samples by the scale of guidance, FSQ and VQ.

    l' = l_c + alpha (l_c - l_0)        alpha = 0 is no guidance; the paper's best are 0.2 for FSQ and 0.1 for VQ

The paper's claims (sections 4.3 and 5.2): guidance trades recall for precision; without it FSQ has the higher recall
and the lower precision; FSQ's best scale is larger than VQ's; and each at its best, the two are level.

Differs from paper: precision, recall and the Fréchet distance are measured on a classifier's features (or lite0's), not
on Inception's, so that only their order compares with the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final

from gridcode.prior.samplers.config import SamplerConfig
from gridcode.studies.checkpoints.base import Grader, PointStudy, by_point, draw, time_checkpoint
from gridcode.studies.checkpoints.config import GuidanceConfig
from gridcode.studies.curves import Curve, Curves, curve_panels, curve_table, curves_of
from gridcode.studies.intervals import Difference, answered, difference, level, paired
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, Panel, Series, Summary, Verdict
from gridcode.tasks.generate import Generator

MEASURES: Final = (
    Column("frechet", "Fréchet distance, samples", 2),
    Column("precision", "precision", 3),
    Column("recall", "recall", 3),
    Column("density", "density", 3),
    Column("coverage", "coverage", 3),
    Column("class_accuracy", "requested class", 1, percent=True),
)

USUAL: Final = 0.2
"""The paper's best alpha for FSQ."""


@dataclass(frozen=True)
class Guidance(PointStudy):
    """See the module."""

    name: ClassVar[str] = "guidance"
    config: GuidanceConfig = field(default_factory=GuidanceConfig)

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`."""
        training, of_sample = time_checkpoint(self.config, self.recipe(cell))
        return training + of_sample * self.config.evaluation(Path(), 0).samples * len(self.config.alphas)

    def points(self, generator: Generator, grader: Grader, seed: int) -> dict[str, Callable[[], Values]]:
        """Samples with every scale, from the same noise."""
        return {f"{alpha:g}": partial(self._point, generator, grader, alpha, seed) for alpha in self.config.alphas}

    def _point(self, generator: Generator, grader: Grader, alpha: float, seed: int) -> Values:
        count = self.config.evaluation(Path(), 0).samples
        return grader.scores(*draw(generator, count, sampler=SamplerConfig(), guidance=alpha, seed=seed))

    def headline(self, values: Values) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        best = _best_alpha(values)
        return f"best alpha {best:g}, Fréchet distance {values['points'][f'{best:g}']['frechet']:.2f}"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        names = self.names(results)
        lines = {family: {alpha: [f"{family} {alpha:g}"] for alpha in self.config.alphas} for family in names}
        curves = curves_of(by_point(results), lines, MEASURES)
        best = {
            family: [_best_alpha(values) for cell, values in results.items() if cell.setting == family]
            for family in names
        }
        tables = [
            curve_table(curves, family, title=name, x="alpha", label="{:g}".format, measures=MEASURES)
            for family, name in names.items()
        ]
        traded = {family: _against(curves["recall"][family], curves["precision"][family]) for family in names}
        plotted = ("frechet", "precision", "recall")
        panels = [
            Panel("precision", [Series(name, traded[family]) for family, name in names.items()], x="recall"),
            *curve_panels(curves, names, x="alpha", measures=MEASURES, plotted=plotted),
        ]
        features = "EfficientNet-lite0" if self.config.features == "lite0" else "a classifier of the data"
        note = (
            f"Features of {features}, not of Inception: the figures do not compare with the paper's. 12 steps of "
            "MaskGIT's sampler; the samples of a seed have the same noise at every alpha."
        )
        title = f"Guidance: precision against recall, {self.config.data.dataset}"
        return Summary(title, guidance_verdicts(curves, best, names), tables, panels, notes=(note,))


def _best_alpha(values: Values) -> float:
    """The alpha of a cell's least Fréchet distance."""
    points = values["points"]
    return float(min(points, key=lambda name: float(points[name]["frechet"])))


def _against(x: Curve, y: Curve) -> Curve:
    """A curve of y over the mean of x, point by point."""
    return {fmean(x[alpha]): y[alpha] for alpha in sorted(set(x) & set(y))}


def guidance_verdicts(
    curves: Mapping[str, Curves], best: Mapping[str, Sequence[float]], names: Mapping[str, str]
) -> list[Verdict]:
    """Answers to the paper's claims.

    Args:
        curves: The measures by name, each by family and alpha.
        best: Each family's alpha of the least Fréchet distance, one a seed.
        names: The families' titles.
    """
    found = []
    for family, name in names.items():
        for key, word, sign in (("precision", "raises", 1), ("recall", "lowers", -1)):
            curve = curves[key][family]
            for alpha in dict.fromkeys(
                alpha for alpha in (USUAL, max(curve)) if alpha in curve and 0 in curve and alpha
            ):
                change = paired(curve[alpha], curve[0])
                figures = f"{key} at alpha {alpha:g} minus that without guidance: {change.text(3)}"
                answer = answered(change, expected=sign)  # type: ignore[arg-type]
                found.append(Verdict(f"guidance of alpha {alpha:g} {word} the {key} of {name}", answer, figures))
    vqs = [family for family in names if family != "fsq"]
    if "fsq" not in names or not vqs:
        return found
    vq = vqs[0]
    for key, word, sign in (("recall", "higher", 1), ("precision", "lower", -1)):
        ours, theirs = curves[key]["fsq"], curves[key][vq]
        if 0.0 in ours and 0.0 in theirs:
            change = difference(ours[0.0], theirs[0.0])
            figures = f"FSQ's minus that of {names[vq]}: {change.text(3)}"
            answer = answered(change, expected=sign)  # type: ignore[arg-type]
            found.append(Verdict(f"without guidance FSQ has the {word} {key}", answer, figures))
    change = difference(best["fsq"], best[vq])
    if change.low == change.high:  # scales of a grid that agree do not tell how far they might not
        change = Difference(change.value, -math.inf, math.inf)
    figures = f"best alpha of FSQ minus that of {names[vq]}: {change.text(2)}"
    found.append(Verdict("FSQ's best alpha is larger than VQ's", answered(change, expected=1), figures))
    return [*found, _level_at_best(curves["frechet"]["fsq"], curves["frechet"][vq], names[vq])]


def _level_at_best(fsq: Curve, vq: Curve, name: str) -> Verdict:
    """Whether FSQ's distance is within a tenth of VQ's, each at the alpha with the least mean."""
    a, b = (min(curve, key=lambda alpha: fmean(curve[alpha])) for curve in (fsq, vq))
    change = difference(fsq[a], vq[b], comparisons=len(fsq) * len(vq))
    answer = level(change, margin=0.1 * fmean(vq[b]))
    figures = f"FSQ {fmean(fsq[a]):.2f} at alpha {a:g}, {name} {fmean(vq[b]):.2f} at {b:g}; {change.text(2)}"
    return Verdict("at their best alphas FSQ and VQ are level, within 10 %", answer, figures)
