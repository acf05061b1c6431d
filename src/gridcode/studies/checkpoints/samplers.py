"""Samplers compared at the same checkpoint, by number of steps, each at its own best temperature.

    checkpoint ─> search: each temperature, a quarter of the samples, one seed ─> best
               └> measurement at the best temperature, all samples, another seed

For every sampler and every number of steps the temperature with the least Fréchet distance is taken. It is measured
anew with noise that the search has not seen, so that the best of several does not look better than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from gridcode.prior.samplers.config import SamplerConfig, SamplerName
from gridcode.studies.checkpoints.base import Grader, PointStudy, by_point, draw, time_checkpoint
from gridcode.studies.checkpoints.config import SamplersConfig
from gridcode.studies.curves import Curve, Curves, curve_panels, curve_table, curves_of
from gridcode.studies.intervals import answered, least_inside, paired
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
SEARCH: Final = 4
"""One sample of so many is drawn in the search."""
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
        drawn = config.evaluation(Path(), 0).samples * (1 + len(config.temperatures) / SEARCH)
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

        searched = {
            temperature: float(measure(temperature, max(count // SEARCH, 5), SEARCH_SEED + seed)["frechet"])
            for temperature in self.config.temperatures
        }
        best = min(searched, key=lambda temperature: searched[temperature])
        found = measure(best, count, MEASURING_SEED + seed)
        return {"temperature": best, **found, "searched": list(searched.values())}

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
        searched = ", ".join(f"{temperature:g}" for temperature in self.config.temperatures)
        note = (
            f"Temperatures were searched among {searched}, by the least Fréchet distance of one in {SEARCH} as many "
            "samples, from another seed than the samples measured here; the table has the mean over checkpoints. "
            f"Guidance {GUIDANCE:g}; the noise on the choice of the sampler confidence is MaskGIT's "
            f"{SamplerConfig.choice_temperature:g}."
        )
        title = f"Samplers at the same checkpoint by number of steps, {self.config.data.dataset}"
        return Summary(title, verdicts, tables, panels, notes=(note, *self._at_the_edge(results)))

    def _at_the_edge(self, results: Mapping[Cell, Values]) -> list[str]:
        """Which samplers mostly did best at the lowest or highest temperature, so that the best may lie beyond."""
        if len(self.config.temperatures) < 2:
            return []
        found, lowest, highest = list[str](), min(self.config.temperatures), max(self.config.temperatures)
        for sampler in self.config.samplers:
            chosen = [
                point["temperature"]
                for values in results.values()
                for name, point in values["points"].items()
                if name.startswith(f"{sampler}-")
            ]
            for edge, word in ((lowest, "lower"), (highest, "higher")):
                at_edge = chosen.count(edge)
                if 2 * at_edge > len(chosen):
                    found.append(
                        f"{TITLES[sampler]}: {edge:g} was the best in {at_edge} of {len(chosen)} searches, so {word} "
                        "temperatures may be better still."
                    )
        return found


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
        steps = 12.0 if 12 in both else both[len(both) // 2]
        change = paired(curve[steps], confidence[steps])
        claim = f"MaskGIT's sampler is ahead of {TITLES[sampler]} at {steps:g} steps{name}"
        found.append(
            Verdict(
                claim, answered(change, expected=1), f"distance of {TITLES[sampler]} minus MaskGIT's: {change.text(2)}"
            )
        )
    if len(confidence) > 1:
        found.append(_best_number(confidence, name))
    if len(frechet.get("halton") or {}) > 1:
        found.append(_keeps_improving(frechet["halton"], name))
    return found


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
