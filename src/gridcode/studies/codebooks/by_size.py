"""What studies of codebooks by size share: lines of settings ``LINE-SIZE``, and their tables and panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gridcode.studies.curves import (
    EXPECTED,
    MEASURES,
    PLOTTED,
    Curve,
    Curves,
    curve_panels,
    curve_table,
    curves_of,
    lines_by_size,
    size_text,
)
from gridcode.studies.images import ImageStudy
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, Panel, StudyTable


class SizeStudy(ImageStudy):
    """A study of several lines at the same sizes of the codebook."""

    config: Any
    """Has ``bits``, the sizes, log2, and ``families``, the lines."""
    choices: ClassVar[tuple[str, ...]] = ("seeds", "families", "bits")
    titles: ClassVar[Mapping[str, str]] = {}
    """Of the families."""

    def lines(self) -> dict[str, str]:
        """What is compared: titles, by what stands before the size in a setting."""
        return {family: self.titles[family] for family in self.config.families}

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`."""
        return [f"{line}-{2**bits}" for bits in self.config.bits for line in self.lines()]

    def curves(self, results: Mapping[Cell, Values], measures: Sequence[Column] = MEASURES) -> dict[str, Curves]:
        """The lines' figures by size."""
        return {**curves_of(results, lines_by_size(self.lines(), self.config.bits), measures)}

    def tables(
        self, curves: Mapping[str, Curves], measures: Sequence[Column] = MEASURES, *, of: str = ""
    ) -> list[StudyTable]:
        """A table of each line; ``of`` is added to its title."""
        return [
            curve_table(curves, line, title=f"{title}{of}", x="codes", label=size_text, measures=measures)
            for line, title in self.lines().items()
        ]

    def even_use(self, results: Mapping[Cell, Values]) -> Curve:
        """The usage that codes used evenly would show, by size; of results :func:`with_expected`."""
        of_all = {float(2**bits): [f"{line}-{2**bits}" for line in self.lines()] for bits in self.config.bits}
        return curves_of(results, {EXPECTED: of_all}, [Column(EXPECTED, "")])[EXPECTED][EXPECTED]

    def panels(
        self,
        curves: Mapping[str, Curves],
        measures: Sequence[Column] = MEASURES,
        plotted: Sequence[str] = PLOTTED,
        *,
        even_use: Curve | None = None,
    ) -> list[Panel]:
        """A panel of each measure; ``even_use`` is drawn as a line of usage."""
        names = self.lines()
        if even_use:
            names = {**names, EXPECTED: "codes used evenly"}
            curves = {**curves, "usage": {**curves["usage"], EXPECTED: even_use}}
        return curve_panels(curves, names, x="codes", log_x=True, measures=measures, plotted=plotted)
