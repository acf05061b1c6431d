"""Figure 4 of the paper: precision and recall of samples by the scale of guidance, FSQ and VQ.

    l' = l_c + alpha (l_c - l_0)        alpha = 0 is no guidance; the paper's best are 0.2 for FSQ and 0.1 for VQ

    checkpoint ─> every alpha, the same noise ─> best, by the Fréchet distance
               └> measurement at the best alpha, other noise

The paper's claims (sections 4.3 and 5.2): guidance trades recall for precision; without it FSQ has the higher recall
and the lower precision; FSQ's best scale is larger than VQ's; and each at its best, the two are level. What is said of
a checkpoint's best alpha rests on samples that did not choose it.

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
from gridcode.studies.checkpoints.base import (
    Grader,
    PointStudy,
    by_point,
    draw,
    swept,
    time_checkpoint,
    train_checkpoint,
)
from gridcode.studies.checkpoints.config import GuidanceConfig
from gridcode.studies.curves import Curves, curve_panels, curve_table, curves_of
from gridcode.studies.intervals import Difference, answered, difference, level, paired
from gridcode.studies.study import Cell, Values, cell_folder
from gridcode.studies.summary import Column, Panel, Summary, Trail, Verdict
from gridcode.tasks.generate import Generator

MEASURES: Final = (
    Column("frechet", "Fréchet distance, samples", 2),
    Column("precision", "precision", 3),
    Column("recall", "recall", 3),
    Column("density", "density", 3),
    Column("coverage", "coverage", 3),
    Column("class_accuracy", "requested class", 1, percent=True),
)

AGAIN: Final = 1000
"""Added to the cell's seed for the samples at its best alpha."""


@dataclass(frozen=True)
class Guidance(PointStudy):
    """See the module."""

    name: ClassVar[str] = "guidance"
    config: GuidanceConfig = field(default_factory=GuidanceConfig)

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`."""
        training, of_sample = time_checkpoint(self.config, self.recipe(cell))
        return training + of_sample * self.config.evaluation(Path(), 0).samples * (len(self.config.alphas) + 1)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Every scale, and then the best of them with other noise."""
        generator, grader = train_checkpoint(self, cell, out), Grader.of(self.config, out)
        file, points = cell_folder(out, cell) / "points.json", self.points(generator, grader, cell.seed)
        best = best_alpha(swept(points, file))
        again = {"best": partial(self._point, generator, grader, best, AGAIN + cell.seed)}
        found = swept({**points, **again}, file)
        return {"best": {"alpha": best, **found.pop("best")}, "points": found}

    def points(self, generator: Generator, grader: Grader, seed: int) -> dict[str, Callable[[], Values]]:
        """Samples with every scale, from the same noise."""
        return {f"{alpha:g}": partial(self._point, generator, grader, alpha, seed) for alpha in self.config.alphas}

    def _point(self, generator: Generator, grader: Grader, alpha: float, seed: int) -> Values:
        count = self.config.evaluation(Path(), 0).samples
        return grader.scores(*draw(generator, count, sampler=SamplerConfig(), guidance=alpha, seed=seed))

    def headline(self, values: Values) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        best = values["best"]
        return f"best alpha {best['alpha']:g}, Fréchet distance {best['frechet']:.2f}"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        names = self.names(results)
        lines = {family: {alpha: [f"{family} {alpha:g}"] for alpha in self.config.alphas} for family in names}
        curves = curves_of(by_point(results), lines, MEASURES)
        best = {family: best_of(results, family) for family in names}
        tables = [
            curve_table(curves, family, title=name, x="alpha", label="{:g}".format, measures=MEASURES)
            for family, name in names.items()
        ]
        traded = [Trail(name, _along(curves, family)) for family, name in names.items()]
        plotted = ("frechet", "precision", "recall")
        panels = [
            Panel("precision", traded, x="recall"),
            *curve_panels(curves, names, x="alpha", measures=MEASURES, plotted=plotted),
        ]
        features = "EfficientNet-lite0" if self.config.features == "lite0" else "a classifier of the data"
        note = (
            f"Features of {features}, not of Inception: the figures do not compare with the paper's. 12 steps of "
            "MaskGIT's sampler; the samples of a seed have the same noise at every alpha. The line of precision over "
            "recall goes by alpha."
        )
        if any(found["alpha"] for found in best.values()):
            note += " What is said of the best alphas, each checkpoint's own, is measured with other noise."
        title = f"Guidance: precision against recall, {self.config.data.dataset}"
        return Summary(
            title,
            guidance_verdicts(curves, best, names),
            tables,
            panels,
            notes=(note, *_at_the_edge(curves, best, names)),
        )


def best_alpha(points: Mapping[str, Values]) -> float:
    """The alpha of a checkpoint's least Fréchet distance."""
    return float(min(points, key=lambda name: float(points[name]["frechet"])))


def best_of(results: Mapping[Cell, Values], family: str) -> dict[str, list[float]]:
    """What a family's checkpoints measure at their best alphas, and without guidance where they were, by name."""
    found: dict[str, list[float]] = {"alpha": []}
    for cell, values in results.items():
        if cell.setting == family and "best" in values:
            for key, value in values["best"].items():
                found.setdefault(key, []).append(float(value))
            for key, value in values["points"].get("0", {}).items():
                found.setdefault(f"{key} without", []).append(float(value))
    return found


def _along(curves: Mapping[str, Curves], family: str) -> list[tuple[float, float]]:
    """Mean recall and precision, by alpha."""
    recall, precision = curves["recall"][family], curves["precision"][family]
    return [(fmean(recall[alpha]), fmean(precision[alpha])) for alpha in sorted(set(recall) & set(precision))]


def _at_the_edge(
    curves: Mapping[str, Curves], best: Mapping[str, Mapping[str, Sequence[float]]], names: Mapping[str, str]
) -> list[str]:
    """Which families did best at the largest alpha, so that the best may lie beyond."""
    found = []
    for family, name in names.items():
        largest, chosen = max(curves["frechet"][family], default=0.0), list(best[family]["alpha"])
        if largest and largest in chosen:
            found.append(
                f"{name}: alpha {largest:g} was the best of {chosen.count(largest)} of {len(chosen)} checkpoints, so "
                "larger ones may be better still."
            )
    return found


def guidance_verdicts(
    curves: Mapping[str, Curves], best: Mapping[str, Mapping[str, Sequence[float]]], names: Mapping[str, str]
) -> list[Verdict]:
    """Answers to the paper's claims.

    Args:
        curves: The measures by name, each by family and alpha.
        best: Of each family, see :func:`best_of`.
        names: The families' titles.
    """
    found = []
    for family, name in names.items():
        for key, word, sign in (("precision", "raises", 1), ("recall", "lowers", -1)):
            without = best[family].get(f"{key} without")
            if without is None or not any(best[family]["alpha"]):
                continue
            change = paired(best[family][key], without)
            figures = f"{key} at each checkpoint's best alpha minus that without guidance: {change.text(3)}"
            answer = answered(change, expected=sign)  # type: ignore[arg-type]
            found.append(Verdict(f"guidance {word} the {key} of {name}", answer, figures))
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
    if best["fsq"]["alpha"] and best[vq]["alpha"]:
        found += [_larger_alpha(curves["frechet"], best, vq, names[vq]), _level_at_best(best, vq, names[vq])]
    return found


def _larger_alpha(frechet: Curves, best: Mapping[str, Mapping[str, Sequence[float]]], vq: str, name: str) -> Verdict:
    """Whether FSQ wants more guidance, by places on the grid of alphas, which is not even."""
    grid = sorted(set(frechet["fsq"]) | set(frechet[vq]))
    places = {family: [float(grid.index(alpha)) for alpha in best[family]["alpha"]] for family in ("fsq", vq)}
    change = difference(places["fsq"], places[vq])
    if change.low == change.high:  # scales of a grid that agree do not tell how far they might not
        change = Difference(change.value, -math.inf, math.inf)
    ours, theirs = (", ".join(f"{alpha:g}" for alpha in best[family]["alpha"]) for family in ("fsq", vq))
    figures = f"best alphas of FSQ {ours}, of {name} {theirs}; their places on the grid differ by {change.text(1)}"
    return Verdict("FSQ's best alpha is larger than VQ's", answered(change, expected=1), figures)


def _level_at_best(best: Mapping[str, Mapping[str, Sequence[float]]], vq: str, name: str) -> Verdict:
    """Whether FSQ's distance is within a tenth of VQ's, each checkpoint at its best alpha."""
    ours, theirs = best["fsq"]["frechet"], best[vq]["frechet"]
    change = difference(ours, theirs)
    figures = f"distance of FSQ {fmean(ours):.2f}, of {name} {fmean(theirs):.2f}; {change.text(2)}"
    answer = level(change, margin=0.1 * fmean(theirs))
    return Verdict("at their best alphas FSQ and VQ are level, within 10 %", answer, figures)
