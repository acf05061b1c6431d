"""The five published forms of FSQ, compared in both stages.

    setting         quantizer
    ifsq-1024       FSQ of that form, the paper's levels for that size

Every form is published with reconstructions (``quantize/fsq/forms.py`` has the formulas), which say nothing of how
well its tokens can be predicted. Here each form is compared to the paper's at equal levels, by the Fréchet distances
of reconstructions and of samples and by bits. Sizes are put together as the mean over sizes of

    r = mean log x - mean log of the paper's form at that size          100 (e^r - 1): per cent more
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log
from typing import ClassVar, Final

from gridcode.quantize.config import FSQConfig
from gridcode.quantize.fsq.forms import FormName
from gridcode.quantize.fsq.levels import level_candidates
from gridcode.studies.codebooks.by_size import SizeStudy
from gridcode.studies.codebooks.config import FormsConfig
from gridcode.studies.curves import BITS, RECONSTRUCTION, SAMPLES, Curve, Curves
from gridcode.studies.images import Recipe
from gridcode.studies.intervals import Difference, answered, contrast
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Summary, Verdict

PAPER: Final = "paper"

CLAIMS: Final = {
    RECONSTRUCTION: ("reconstructs better than the paper's form", "Fréchet distance of reconstructions"),
    SAMPLES: ("gives better samples than the paper's form", "Fréchet distance of samples"),
    BITS: ("costs fewer bits than the paper's form", "bits per token"),
}
"""What is claimed of each form, and the measure that answers."""


def form_of(setting: str) -> FSQConfig:
    """The quantizer that a setting stands for.

    >>> form_of("ifsq-1024")
    FSQConfig(name='fsq', levels=(8, 5, 5, 5), form='ifsq', eps=None)
    """
    form, _, size = setting.partition("-")
    levels = level_candidates(int(size).bit_length() - 1)[0].levels
    name: FormName = form  # type: ignore[assignment]  # FSQConfig checks it
    return FSQConfig(levels=levels, form=name)


@dataclass(frozen=True)
class Forms(SizeStudy):
    """See the module."""

    name: ClassVar[str] = "forms"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "forms", "bits")
    config: FormsConfig = field(default_factory=FormsConfig)

    def lines(self) -> dict[str, str]:
        """The forms."""
        return {form: form for form in self.config.forms}

    def kind(self, cell: Cell) -> str:
        """The codebook's size; forms take the same time."""
        return f"{cell.setting.partition('-')[2]} codes"

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        return Recipe(form_of(cell.setting))

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        curves, title = self.curves(results), f"The published forms of FSQ, {self.config.data.dataset}"
        return Summary(title, verdicts(curves), self.tables(curves), self.panels(curves))


def verdicts(curves: Mapping[str, Curves]) -> list[Verdict]:
    """How each form fares beside the paper's, in both stages; none without the paper's."""
    found = []
    for key, (claim, measure) in CLAIMS.items():
        logs = {form: _logs(curve) for form, curve in curves.get(key, {}).items()}
        groups = [values for curve in logs.values() for values in curve.values()]
        paper = logs.get(PAPER, {})
        for form, curve in logs.items():
            sizes = set(curve) & set(paper)
            if form != PAPER and sizes:
                signed = ((1, curve), (-1, paper))
                terms = [(sign / len(sizes), of[size]) for size in sizes for sign, of in signed]
                change = contrast(terms, groups)
                figures = f"{measure} {_percent(change)} beside the paper's form"
                found.append(Verdict(f"{form} {claim}", answered(change, expected=-1), figures))
    return found


def _logs(curve: Curve) -> dict[float, list[float]]:
    """The logarithms of values over seeds by size; sizes with one that has none are left out."""
    return {size: [log(value) for value in values] for size, values in curve.items() if min(values) > 0}


def _percent(change: Difference) -> str:
    """A difference of logarithms as per cent more.

    >>> _percent(Difference(0.0, -0.1, 0.1))
    '+0.0 % (95 % interval -9.5 to +10.5)'
    """
    if not isfinite(change.low):
        return f"{100 * (exp(change.value) - 1):+.1f} % (no interval: too few seeds)"
    value, low, high = (f"{100 * (exp(number) - 1):+.1f}" for number in (change.value, change.low, change.high))
    return f"{value} % (95 % interval {low} to {high})"
