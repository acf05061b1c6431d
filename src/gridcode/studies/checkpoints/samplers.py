"""Samplers compared at the same checkpoint, by number of steps, each at its own best temperature.

    checkpoint ─> search: a few temperatures, half of the samples, one seed ─> best
               └> measurement at the best temperature, all samples, another seed

For every sampler and every number of steps the temperature with the least Fréchet distance is looked for: from where
the sampler's best is often found, along the grid of temperatures, until both neighbours are worse; then the least of
the parabola through these three. It is measured anew with noise that the search has not seen, so that the best of
several does not look better than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final

import numpy as np

from gridcode.prior.samplers.config import SamplerConfig, SamplerName
from gridcode.studies.checkpoints.base import Grader, PointStudy, by_point, draw, time_checkpoint
from gridcode.studies.checkpoints.config import SamplersConfig
from gridcode.studies.codebooks.tradeoff import NAMES
from gridcode.studies.curves import Curve, Curves, curve_panels, curve_table, curves_of
from gridcode.studies.intervals import answered, least_inside, paired, percent
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, Panel, StudyTable, Summary, Verdict
from gridcode.tasks.generate import Generator

TITLES: Final[dict[str, str]] = {
    "confidence": "confidence (MaskGIT)",
    "halton": "Halton",
    "random": "random",
    "remask": "remask",
}
MEASURES: Final = (
    Column("frechet", "Fréchet distance, samples", 2),
    Column("class_accuracy", "requested class", 1, percent=True),
    Column("precision", "precision", 3),
    Column("recall", "recall", 3),
    Column("temperature", "temperature", 2),
)
GUIDANCE: Final = 0.2
SEARCH: Final = 2
"""One sample of so many is drawn at each temperature of the search."""
SEARCHED: Final = 4
"""Temperatures that a search takes, about."""
START: Final[dict[str, float]] = {"confidence": 1.0}
"""Where the search begins; of other samplers at 0.7."""
SEARCH_SEED, MEASURING_SEED = 2000, 1000
"""Of the samples, added to the cell's."""


@dataclass(frozen=True)
class Samplers(PointStudy):
    """See the module."""

    name: ClassVar[str] = "samplers"
    config: SamplersConfig = field(default_factory=SamplersConfig)

    def time_cell(self, cell: Cell) -> float:
        """See :class:`gridcode.studies.study.Study`; a sample's time goes with its steps."""
        config = self.config
        training, of_12 = time_checkpoint(config, self.recipe(cell))
        drawn = config.evaluation(Path(), 0).samples * (1 + min(SEARCHED, len(config.temperatures)) / SEARCH)
        return training + of_12 * drawn * len(config.samplers) * sum(config.steps_of) / 12

    def points(self, generator: Generator, grader: Grader, seed: int) -> dict[str, Callable[[], Values]]:
        """Every sampler and number of steps, searched and measured."""
        return {
            f"{sampler}-{steps}": partial(self._point, generator, grader, sampler, steps, seed)
            for sampler in self.config.samplers
            for steps in self.config.steps_of
        }

    def _point(self, generator: Generator, grader: Grader, sampler: SamplerName, steps: int, seed: int) -> Values:
        count = self.config.evaluation(Path(), 0).samples

        def measure(temperature: float, samples: int, seed: int) -> Values:
            config = SamplerConfig(sampler, steps, temperature=temperature)
            return grader.scores(*draw(generator, samples, sampler=config, guidance=GUIDANCE, seed=seed))

        best, searched = least_along(
            self.config.temperatures,
            lambda temperature: float(measure(temperature, max(count // SEARCH, 5), SEARCH_SEED + seed)["frechet"]),
            start=START.get(sampler, 0.7),
        )
        found = measure(best, count, MEASURING_SEED + seed)
        return {"temperature": best, **found, "searched": [list(pair) for pair in sorted(searched.items())]}

    def headline(self, values: Values) -> str:
        """See :class:`gridcode.studies.study.Study`."""
        points = values["points"]
        best = min(points, key=lambda name: float(points[name]["frechet"]))
        return f"best {best}, Fréchet distance {points[best]['frechet']:.2f}"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`gridcode.studies.study.Study`."""
        verdicts, tables, panels = list[Verdict](), list[StudyTable](), list[Panel]()
        names = self.names(results)
        titles: dict[str, str] = {sampler: TITLES[sampler] for sampler in self.config.samplers}
        for family, name in names.items():
            lines: dict[str, dict[float, list[str]]] = {
                sampler: {steps: [f"{family} {sampler}-{steps}"] for steps in self.config.steps_of}
                for sampler in self.config.samplers
            }
            curves = curves_of(by_point(results), lines, MEASURES)
            of_family = f", {name}" if len(names) > 1 else ""
            verdicts += sampler_verdicts(curves["frechet"], of_family)
            tables += [
                curve_table(curves, line, title=title + of_family, x="steps", label="{:g}".format, measures=MEASURES)
                for line, title in titles.items()
            ]
            plotted = ("frechet", "class_accuracy", "precision", "recall")
            panels += curve_panels(curves, titles, x="steps", log_x=True, measures=MEASURES, plotted=plotted)
        grid = ", ".join(f"{temperature:g}" for temperature in sorted(self.config.temperatures))
        note = (
            f"Temperatures were searched along {grid}, and between the neighbours of the best of these, by the least "
            f"Fréchet distance of one in {SEARCH} as many samples, from another seed than the samples measured here; "
            f"the table has the mean over checkpoints. Guidance {GUIDANCE:g}. Other settings are the samplers' "
            f"defaults: confidence has MaskGIT's noise of {SamplerConfig.choice_temperature:g} on its choice; remask "
            f"hides at most {percent(SamplerConfig.remask)} of the tokens found so far again, in 4 steps next to none."
        )
        title = f"Samplers at the same checkpoint by number of steps, {self.config.data.dataset}"
        return Summary(title, verdicts, tables, panels, notes=(note, *self._at_the_edge(results)))

    def _at_the_edge(self, results: Mapping[Cell, Values]) -> list[str]:
        """Where the best was the lowest or highest temperature, so that a better one may lie beyond."""
        if len(self.config.temperatures) < 2:
            return []
        found = list[str]()
        for edge, word in ((min(self.config.temperatures), "lower"), (max(self.config.temperatures), "higher")):
            chosen = {cell.setting: list[str]() for cell in results}
            for cell, point in by_point(results).items():
                family, name = cell.setting.split(" ")
                if point["temperature"] == edge and name not in chosen[family]:
                    chosen[family].append(name)
            for family, names in chosen.items():
                if names:
                    of_family = f" of {NAMES[family]}" if len(chosen) > 1 else ""
                    found.append(
                        f"{', '.join(names)}{of_family}: {edge:g} was the best at some checkpoint, so {word} "
                        "temperatures may be better still."
                    )
        return found


def least_along(
    grid: Sequence[float], measure: Callable[[float], float], *, start: float
) -> tuple[float, dict[float, float]]:
    """Where a figure is least, with few measurements: downhill along a grid, then the parabola through three of it.

    Args:
        grid: Places, in any order.
        measure: The figure at a place.
        start: The place of the grid nearest to this is the first.

    Returns:
        The place, between the neighbours of the grid's best, or the grid's end where the figure is least there; and
        what was measured.

    >>> place, measured = least_along([0, 1, 2, 3, 4, 5], lambda x: (x - 3.25) ** 2, start=2)
    >>> place, sorted(measured)
    (3.25, [1, 2, 3, 4])
    """
    places, found = sorted(grid), dict[float, float]()

    def at(number: int) -> float:
        place = places[number]
        if place not in found:
            found[place] = measure(place)
        return found[place]

    here = min(range(len(places)), key=lambda number: abs(places[number] - start))
    while True:
        around = [number for number in (here - 1, here, here + 1) if 0 <= number < len(places)]
        best = min(around, key=lambda number: (at(number), abs(number - here)))
        if best == here:
            break
        here = best
    if len(around) < 3:
        return places[here], found
    steps = np.array([places[number] - places[here] for number in around])
    square, slope, _ = np.polyfit(steps, [at(number) for number in around], 2)
    return round(places[here] - float(slope / (2 * square)), 3) if square > 0 else places[here], found


def sampler_verdicts(frechet: Curves, name: str = "") -> list[Verdict]:
    """What the distances of samples say of the samplers.

    Args:
        frechet: Fréchet distances.
        name: What is appended to each claim.
    """
    found = []
    confidence = frechet.get("confidence") or {}
    for sampler, curve in frechet.items():
        both = sorted(set(confidence) & set(curve))
        if sampler == "confidence" or not both:
            continue
        change = paired(_over_steps(curve, both), _over_steps(confidence, both))
        claim = f"MaskGIT's sampler is ahead of {TITLES[sampler]}{name}"
        steps = ", ".join(f"{one:g}" for one in both)
        figures = f"distance of {TITLES[sampler]} minus MaskGIT's, mean over {steps} steps: {change.text(2)}"
        found.append(Verdict(claim, answered(change, expected=1), figures))
    if len(confidence) > 1:
        found.append(_best_number(confidence, name))
    if len(frechet.get("halton") or {}) > 1:
        found.append(_keeps_improving(frechet["halton"], name))
    return found


def _over_steps(curve: Curve, steps: Sequence[float]) -> list[float]:
    """Each checkpoint's mean over these numbers of steps."""
    return [fmean(values) for values in zip(*(curve[one] for one in steps), strict=True)]


def _best_number(curve: Curve, name: str) -> Verdict:
    claim = f"MaskGIT's sampler has a best number of steps, beyond which its samples get worse{name}"
    found = least_inside(sorted(curve.items()), same_trainings=True)
    assert found is not None
    best, change = found
    figures = f"the distance with {max(curve):g} steps minus that with {best:g}, the best of fewer: {change.text(2)}"
    return Verdict(claim, answered(change, expected=1), figures)


def _keeps_improving(curve: Curve, name: str) -> Verdict:
    steps = sorted(curve)
    middle, last = steps[(len(steps) - 1) // 2], steps[-1]
    change = paired(curve[last], curve[middle])
    figures = f"distance with {last:g} steps minus that with {middle:g}: {change.text(2)}"
    claim = f"Halton's sampler is better with {last:g} steps than with {middle:g}{name}"
    return Verdict(claim, answered(change, expected=-1), figures)
