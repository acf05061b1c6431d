"""Figure 10 of the paper: level sets of about equal codebook size, grouped by their smallest level.

    setting        quantizer
    8x5x5x5        FSQ with levels 8, 5, 5, 5

The sets are those that ``gridcode levels`` would list first, of each smallest level. The paper's claim (A.4.1,
Fig. 10): sets with a level under 5 are subpar. Here both reconstructions and samples are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2, prod
from typing import ClassVar, Final, TypeAlias

from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.quantize.fsq.levels import level_candidates
from gridcode.studies.codebooks.config import LevelsConfig
from gridcode.studies.curves import (
    MEASURES,
    RECONSTRUCTION,
    SAMPLES,
    cell_text,
    curve_panels,
    curves_of,
)
from gridcode.studies.images import ImageStudy, Recipe
from gridcode.studies.intervals import answered, contrast
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import StudyTable, Summary, Verdict, by_setting

SetsOf: TypeAlias = Mapping[float, Sequence[Sequence[float]]]
"""For each smallest level its sets, each with its values over seeds."""

ENOUGH: Final = 5
"""The smallest level that the paper recommends."""


def level_sets(bits: int, smallest: int, *, count: int = 1, tolerance: float = 0.1) -> list[tuple[int, ...]]:
    """The best level sets of a size whose smallest level is given.

    Args:
        bits: The codebook's size, log2.
        smallest: L.
        count: Sets at most.
        tolerance: As in :func:`level_candidates`.

    Returns:
        The sets, the best first; none where no set has that size.

    >>> [level_sets(10, smallest)[0] for smallest in (2, 4, 5)]
    [(2, 2, 2, 2, 2, 2, 2, 2, 2, 2), (4, 4, 4, 4, 4), (8, 5, 5, 5)]
    """
    try:
        found = level_candidates(bits, min_level=smallest, tolerance=tolerance, count=10_000)
    except GridcodeError:
        return []
    return [each.levels for each in found if min(each.levels) == smallest][:count]


def levels_of(setting: str) -> tuple[int, ...]:
    """The levels that a setting names.

    >>> levels_of("8x5x5x5")
    (8, 5, 5, 5)
    """
    return tuple(map(int, setting.split("x")))


@dataclass(frozen=True)
class Levels(ImageStudy):
    """See the module."""

    name: ClassVar[str] = "levels"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "bits", "smallest", "sets", "tolerance")
    config: LevelsConfig = field(default_factory=LevelsConfig)

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`."""
        lines = self._lines().values()
        return list(dict.fromkeys(name for places in lines for names in places.values() for name in names))

    def kind(self, cell: Cell) -> str:
        """The codebook's size."""
        return f"2^{round(log2(prod(levels_of(cell.setting))))} codes"

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        return Recipe(FSQConfig(levels=levels_of(cell.setting)))

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        lines = self._lines()
        curves = curves_of(results, lines)
        names = {line: line for line in lines}
        return Summary(
            f"Level sets by their smallest level, {self.config.data.dataset}",
            verdicts({key: self._by_set(results, key) for key in (RECONSTRUCTION, SAMPLES)}),
            [_table(results, line, places) for line, places in lines.items()],
            curve_panels(curves, names, x="smallest level"),
        )

    def _by_set(self, results: Mapping[Cell, Values], key: str) -> dict[str, SetsOf]:
        """A measure's values over seeds of each set, by size and smallest level."""
        found = by_setting(results, key)
        return {
            line: {
                smallest: [found[name] for name in names if name in found]
                for smallest, names in places.items()
                if any(name in found for name in names)
            }
            for line, places in self._lines().items()
        }

    def _lines(self) -> dict[str, dict[float, list[str]]]:
        """Settings by size and smallest level."""
        config = self.config
        found: dict[str, dict[float, list[str]]] = {}
        for bits in config.bits:
            places: dict[float, list[str]] = {}
            for smallest in config.smallest:
                sets = level_sets(bits, smallest, count=config.sets, tolerance=config.tolerance)
                if sets:
                    places[float(smallest)] = ["x".join(map(str, levels)) for levels in sets]
            found[f"2^{bits} codes"] = places
        return found


def verdicts(sets: Mapping[str, Mapping[str, SetsOf]]) -> list[Verdict]:
    """Whether sets with a level under 5 are subpar, for each size: each such level in Stage I, all in Stage II.

    Args:
        sets: By measure and size: for each smallest level the sets, of which each has its values over seeds.
    """
    found = []
    for line, curve in sets.get(RECONSTRUCTION, {}).items():
        for smallest in sorted(place for place in curve if place < ENOUGH):
            of_it = f"sets whose smallest level is {smallest:.0f}"
            claim = f"at {line}, {of_it} reconstruct worse than sets with {ENOUGH} or more"
            found.append(_subpar(curve, curve[smallest], claim))
    for line, curve in sets.get(SAMPLES, {}).items():
        under = [values for place, of in curve.items() if place < ENOUGH for values in of]
        found.append(_subpar(curve, under, f"at {line}, sets with a level under {ENOUGH} give worse samples"))
    return [verdict for verdict in found if verdict is not None]


def _subpar(curve: SetsOf, under: Sequence[Sequence[float]], claim: str) -> Verdict | None:
    """Whether these sets are worse than those from 5 on, by the mean of the sets' means: an interval over seeds."""
    others = [values for smallest, of in curve.items() if smallest >= ENOUGH for values in of]
    if not under or not others:
        return None
    terms = [(1 / len(under), values) for values in under] + [(-1 / len(others), values) for values in others]
    change = contrast(terms, [values for of in curve.values() for values in of])
    figures = f"their mean Fréchet distance minus that of the other sets: {change.text(3)}"
    return Verdict(claim, answered(change, expected=1), figures)


def _table(results: Mapping[Cell, Values], title: str, places: Mapping[float, Iterable[str]]) -> StudyTable:
    """A row for each level set."""
    found = {measure.key: by_setting(results, measure.key) for measure in MEASURES}
    rows = []
    for smallest, settings in places.items():
        for setting in settings:
            row = [cell_text(found[measure.key].get(setting), measure) for measure in MEASURES]
            if any(row):
                levels = levels_of(setting)
                rows.append([f"{smallest:.0f}", ", ".join(map(str, levels)), f"{prod(levels):,}", *row])
    return StudyTable(title, ("smallest", "levels", "codes", *(measure.title for measure in MEASURES)), rows)
