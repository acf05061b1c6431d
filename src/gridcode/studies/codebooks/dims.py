"""Channels by levels: d = 1 … 20 channels of L = 2 … 10 levels each, Stage I alone.

    setting     quantizer
    4x8         FSQ with 4 channels of 8 levels
    20x10       beyond 2^63 codes: GroupedFSQ, in the fewest equal groups that each fit 2^63

Heat maps show reconstruction, usage and instability, the share of seeds whose training

    diverged    its loss was not finite, or
    stalled     it raised one of the alarms ``ALARMS`` (``tokenizer/alarms.py``)

A seed that diverged counts as unstable and has no other figures. Usage is that of what so many tokens show of evenly
used codes. The boundary d < log2 |C|, where a channel has to tell more than two values apart, is drawn: with L levels
in every channel log2 |C| = d log2 L, so that it lies between L = 2 and the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from statistics import fmean
from typing import Any, ClassVar, Final

from gridcode.quantize.config import FSQConfig, GroupedFSQConfig, QuantizerConfig
from gridcode.quantize.fsq.levels import MAX_CODEBOOK
from gridcode.studies.codebooks.config import DimsConfig
from gridcode.studies.curves import OF_EXPECTED, PSNR, cell_text, with_expected
from gridcode.studies.images import ImageStudy, Recipe
from gridcode.studies.intervals import answered, contrast, percent, share_difference
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, HeatMap, StudyTable, Summary, Verdict, by_setting
from gridcode.tokenizer.alarms import NEARLY_ALL, AlarmConfig

ALARMS: Final = ("gradient exploding", "instability", "reconstruction stalling")
"""The alarms of a training that diverges or stalls."""
POOR: Final = AlarmConfig().poor
"""PSNR in dB below which a reconstruction counts as poor, as for the alarm of that name."""
NARROW: Final = 2
"""Channels up to which a codebook counts as narrow."""

MEASURES: Final = (
    Column(PSNR, "PSNR (dB)", 2),
    Column(OF_EXPECTED, "usage", 0, percent=True),
    Column("unstable", "unstable seeds", 0, percent=True),
)

Grid = Mapping[tuple[int, int], Sequence[float]]
"""Values over seeds by channels and levels."""


def quantizer_of(setting: str) -> QuantizerConfig:
    """The quantizer that a setting stands for.

    >>> quantizer_of("3x8").levels, quantizer_of("20x10").groups
    ((8, 8, 8), 2)
    """
    channels, levels = _pair(setting)
    if levels**channels <= MAX_CODEBOOK:
        return FSQConfig(levels=(levels,) * channels)
    groups = next(g for g in range(2, channels + 1) if channels % g == 0 and levels ** (channels // g) <= MAX_CODEBOOK)
    return GroupedFSQConfig(levels=(levels,) * (channels // groups), groups=groups)


@dataclass(frozen=True)
class Dims(ImageStudy):
    """See the module."""

    name: ClassVar[str] = "dims"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "channels", "levels")
    config: DimsConfig = field(default_factory=DimsConfig)

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`."""
        return [f"{channels}x{levels}" for channels in self.config.channels for levels in self.config.levels]

    def kind(self, cell: Cell) -> str:
        """One; channels and levels cost next to nothing."""
        return "cell"

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        return Recipe(quantizer_of(cell.setting), head=None)

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        found = {cell: with_signs(values) for cell, values in results.items()}
        grids = {measure.key: _grid(found, measure.key) for measure in MEASURES}
        inside = [(d, levels) for d in self.config.channels for levels in self.config.levels if d < d * log2(levels)]
        return Summary(
            f"Channels by levels, {self.config.data.dataset}",
            verdicts(grids, poor=_grid(found, "poor")),
            [self._table(grids[measure.key], measure) for measure in MEASURES],
            [
                HeatMap(
                    measure.title,
                    "channels d",
                    "levels L",
                    {pair: fmean(values) for pair, values in grids[measure.key].items()},
                    percent=measure.percent,
                    inside=inside,
                )
                for measure in MEASURES
                if grids[measure.key]
            ],
            notes=[
                "The red line is the boundary: above it d < log2 |C|.",
                "Usage is a share of what so many tokens show of evenly used codes. With far more codes than tokens, "
                "it is about the share of tokens that have a code of their own.",
            ],
        )

    def _table(self, grid: Grid, measure: Column) -> StudyTable:
        """A row for each number of channels, a column for each number of levels."""
        rows = [
            [str(d), *(cell_text(grid.get((d, levels)), measure) for levels in self.config.levels)]
            for d in self.config.channels
        ]
        head = ("channels", *(f"L = {levels}" for levels in self.config.levels))
        return StudyTable(measure.title, head, [row for row in rows if any(row[1:])])


def with_signs(values: Values) -> Values:
    """A cell's figures with 1 where its training was unstable, and where its codes tell much and serve little.

    >>> with_signs({"diverged": True, "alarms": []})["unstable"]
    1.0
    """
    alarms = set(values["alarms"])
    unstable = bool(values.get("diverged")) or not alarms.isdisjoint(ALARMS)
    if values.get("diverged"):
        return {**values, "unstable": 1.0, "poor": 0.0}
    found = with_expected(values)
    poor = found[OF_EXPECTED] >= NEARLY_ALL and found[PSNR] < POOR
    return {**found, "unstable": float(unstable), "poor": float(poor)}


def verdicts(grids: Mapping[str, Grid], *, poor: Grid) -> list[Verdict]:
    """Where training is unstable, what channels bring at equal size, and whether much used codes can serve little."""
    quality, unstable = grids[PSNR], grids["unstable"]
    found = []
    narrow, wide = _split(unstable)
    if narrow and wide:
        change = share_difference(fmean(narrow), len(narrow), fmean(wide), len(wide))
        figures = (
            f"{sum(narrow):.0f} of {len(narrow)} trainings against {sum(wide):.0f} of {len(wide)}; "
            f"{change.text(0, scale=100, unit=' points')}"
        )
        claim = f"training is unstable more often with {NARROW} channels or fewer"
        found.append(Verdict(claim, answered(change, expected=1), figures))
    found += _at_equal_size(quality)
    if poor:
        places = [pair for pair, values in poor.items() if min(values)]
        where = ", ".join(f"{d} x {levels}" for d, levels in places) or "none"
        claim = "codes can be used nearly all and still reconstruct poorly"
        limits = f"usage of {percent(NEARLY_ALL)} and more and under {POOR:g} dB with every seed"
        figures = f"{limits}: {len(places)} of {len(poor)} settings (channels x levels): {where}"
        found.append(Verdict(claim, "seen" if places else "not seen", figures))
    return found


def _at_equal_size(quality: Grid) -> list[Verdict]:
    """Binary channels, d = log2 |C|, beside fewer channels of 4 and of 8 levels: codebooks of the same size."""
    found = []
    for levels in (4, 8):
        bits = round(log2(levels))
        pairs = [((d, each), (bits * d, 2)) for d, each in quality if each == levels and (bits * d, 2) in quality]
        if not pairs:
            continue
        signed = [(sign, place) for coarse, binary in pairs for sign, place in ((1, coarse), (-1, binary))]
        change = contrast([(sign / len(pairs), quality[place]) for sign, place in signed], quality.values())
        claim = f"at equal size, channels of {levels} levels reconstruct worse than d = log2 |C| binary ones"
        sizes = ", ".join(f"2^{binary[0]}" for _, binary in pairs)
        figures = f"difference in PSNR {change.text(2, unit=' dB')}, over sizes {sizes}"
        found.append(Verdict(claim, answered(change, expected=-1), figures))
    return found


def _split(grid: Grid) -> tuple[list[float], list[float]]:
    """All values of narrow codebooks, and of the others."""
    narrow = [value for (d, _), values in grid.items() if d <= NARROW for value in values]
    return narrow, [value for (d, _), values in grid.items() if d > NARROW for value in values]


def _grid(results: Mapping[Cell, Mapping[str, Any]], key: str) -> dict[tuple[int, int], list[float]]:
    return {_pair(setting): values for setting, values in by_setting(results, key).items()}


def _pair(setting: str) -> tuple[int, int]:
    channels, _, levels = setting.partition("x")
    return int(channels), int(levels)
