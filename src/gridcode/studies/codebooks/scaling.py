"""Codebooks from 2^10 to 2^20 codes: up to which size does FSQ improve?

    setting                  quantizer, and how the prior predicts its tokens
    fsq_joint-1024           FSQ; one softmax over the codebook, as in the paper
    fsq_independent-1024     FSQ; a softmax for each digit
    fsq_chain-1024           FSQ; a softmax for each digit, given those before it
    vq-1024                  VQ with MaskGIT's entropy loss; one softmax

A softmax or a table of vectors is as large as the codebook, so ``fsq_joint`` and ``vq`` end at the size ``held``.
Usage is shown beside its ceiling. N tokens drawn evenly from K codes show on average the share

    1 - (1 - 1/K)^N

of them: 490,000 tokens at most 37 % of 2^20. Seconds and memory are those of training the prior on the machine that ran
the study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import expm1, log1p, log2
from statistics import fmean
from typing import ClassVar, Final, Literal

from gridcode.prior.config import Head
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.quantize.fsq.levels import level_candidates
from gridcode.studies.codebooks.by_size import SizeStudy
from gridcode.studies.codebooks.config import ScalingConfig
from gridcode.studies.curves import (
    BITS,
    MEASURES,
    PLOTTED,
    RECONSTRUCTION,
    SAMPLES,
    Curve,
    Curves,
    curve_panels,
    curves_of,
    size_text,
)
from gridcode.studies.images import Recipe
from gridcode.studies.intervals import above, answered, average, difference
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, Summary, Verdict

NAMES: Final = {
    "fsq_joint": "FSQ, one softmax",
    "fsq_independent": "FSQ, independent digits",
    "fsq_chain": "FSQ, chain of digits",
    "vq": "VQ, entropy loss",
}
HEADS: Final[dict[str, Head]] = {"fsq_independent": "independent", "fsq_chain": "chain"}
HELD: Final = ("fsq_joint", "vq")
"""The families that hold something as large as the codebook."""
LITTLE: Final = 0.05
"""A gain in Fréchet distance that a larger codebook is not worth, as a share of it."""
CEILING: Final = "expected_usage"
SECONDS: Final = "prior_seconds_a_step"
SHOWN: Final = "usage_of_expected"
SCALING: Final = (
    *MEASURES,
    Column(SHOWN, "usage, of what the sample shows of even codes", 1, percent=True),
    Column(SECONDS, "seconds per step of Stage II", 3),
    Column("prior_peak_mib", "peak memory of the process, Stage II (MiB)", 0),
    Column("prior_parameters", "parameters of Stage II", 0),
)


def expected_usage(codes: int, tokens: int) -> float:
    """The share of the codes that tokens drawn evenly from all of them show on average.

    >>> round(expected_usage(2**20, 490_000), 3)
    0.373
    """
    return -expm1(tokens * log1p(-1 / codes)) if codes > 1 else 1.0


@dataclass(frozen=True)
class Scaling(SizeStudy):
    """See the module."""

    name: ClassVar[str] = "scaling"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "families", "bits", "held")
    titles = NAMES
    config: ScalingConfig = field(default_factory=ScalingConfig)

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`; what is as large as the codebook ends at the size ``held``."""
        cells = (setting.partition("-") for setting in super().cell_settings())
        return [f"{line}-{size}" for line, _, size in cells if line not in HELD or int(size) <= 2**self.config.held]

    def kind(self, cell: Cell) -> str:
        """The family, and the size where the time depends on it."""
        family, _, size = cell.setting.partition("-")
        return f"{family}, 2^{round(log2(int(size)))}" if family in HELD else family

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        family, _, size = cell.setting.partition("-")
        if family == "vq":
            return Recipe(VQConfig("maskgit", size=int(size)), costs=True)
        levels = level_candidates(int(size).bit_length() - 1)[0].levels
        return Recipe(FSQConfig(levels=levels), HEADS.get(family, "joint"), costs=True)

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        config = self.config
        found = {cell: with_ceiling(values) for cell, values in results.items()}
        curves = self.curves(found, SCALING)
        of_all = {float(2**bits): [f"{line}-{2**bits}" for line in self.lines()] for bits in config.bits}
        ceiling = curves_of(found, {CEILING: of_all}, [Column(CEILING, "")])[CEILING]
        return Summary(
            f"Codebooks up to {size_text(2.0 ** max(config.bits))}, {config.data.dataset}",
            verdicts(curves),
            self.tables(curves, SCALING),
            curve_panels(
                {**curves, "usage": {**curves["usage"], **ceiling}},
                {**self.lines(), CEILING: "what the sample can show"},
                x="codes",
                log_x=True,
                measures=SCALING,
                plotted=(*PLOTTED, SECONDS, "prior_peak_mib"),
            ),
        )


def with_ceiling(values: Values) -> Values:
    """A cell's figures with what its tokens could show of evenly used codes, and its usage as a share of that.

    >>> with_ceiling({"codebook_size": 2, "tokens": 1, "usage": 0.5})[SHOWN]
    1.0
    """
    most = expected_usage(values["codebook_size"], values["tokens"])
    return {**values, CEILING: most, SHOWN: values["usage"] / most}


def verdicts(curves: Mapping[str, Curves]) -> list[Verdict]:
    """Where the grid stops paying, what digits cost, and how VQ compares; as far as there are cells."""
    grid = {key: of[line] for key, of in curves.items() if (line := _largest(of)) is not None}
    found = []
    if grid.get(SHOWN):
        found.append(_usage_stays(grid[SHOWN]))
    if len(grid.get(RECONSTRUCTION, {})) > 1:
        found.append(_stops_paying(grid[RECONSTRUCTION], "reconstruct better"))
    samples = {line: curve for line, curve in curves.get(SAMPLES, {}).items() if line != "vq" and len(curve) > 1}
    reach = max((max(curve) for curve in samples.values()), default=0.0)
    for line, curve in samples.items():
        if max(curve) == reach:
            found.append(_stops_paying(curve, f"give better samples, {NAMES[line].partition(', ')[2]}"))
    bits, seconds, distance = (curves.get(key, {}) for key in (BITS, SECONDS, RECONSTRUCTION))
    for digits in HEADS:
        name = NAMES[digits].partition(", ")[2]
        more, less = f"{name}: more bits than one softmax", f"{name}: less time than one softmax"
        found += _compared(bits, digits, "fsq_joint", more, "bits per token", 1)
        found += _compared(seconds, digits, "fsq_joint", less, "seconds per step", -1)
    found += _compared(distance, "fsq_joint", "vq", "FSQ reconstructs better than VQ", "reconstruction distance", -1)
    return found


def _largest(curves: Curves) -> str | None:
    """The line of FSQ that reaches the largest codebook."""
    reach = {line: max(points) for line, points in curves.items() if line != "vq" and points}
    return max(reach, key=lambda line: reach[line], default=None)


def _usage_stays(curve: Curve) -> Verdict:
    lowest = min(curve, key=lambda size: fmean(curve[size]))
    used = average(curve[lowest], curve.values())
    claim = "FSQ uses more than half of what the sample can show at every size"
    return Verdict(claim, above(used, 0.5), f"lowest at {size_text(lowest)}, {used.share_text()}")


def _stops_paying(curve: Curve, what: str) -> Verdict:
    """Seen where a smaller codebook, the smallest of which is named, is at most a little worse than the largest."""
    *smaller, last = sorted(curve)
    claim = f"beyond some size larger grids no longer {what}"
    changes = {size: difference(curve[last], curve[size], curve.values(), comparisons=len(smaller)) for size in smaller}
    for size, change in changes.items():
        if above(change, -LITTLE * fmean(curve[size])) == "seen":
            figures = (
                f"{size_text(size)} is the first that {size_text(last)} does not better by {LITTLE:.0%}: "
                f"{fmean(curve[size]):.3f} there, {change.text(3)}"
            )
            return Verdict(claim, "seen", figures)
    change = changes[smaller[-1]]
    figures = f"the distance at {size_text(last)} minus that at {size_text(smaller[-1])}: {change.text(3)}"
    return Verdict(claim, "opposite" if change.sign < 0 else "open", figures)


def _compared(
    curves: Curves, one: str, other: str, claim: str, measure: str, expected: Literal[1, -1]
) -> list[Verdict]:
    """Two families at the largest size that both have; nothing where they share none."""
    a, b = curves.get(one, {}), curves.get(other, {})
    common = set(a) & set(b)
    if not common:
        return []
    size = max(common)
    change = difference(a[size], b[size], [*a.values(), *b.values()])
    digits = 3 if measure.startswith("reconstruction") else 2
    figures = f"difference in {measure}: {change.text(digits)}"
    return [Verdict(f"{claim} at {size_text(size)}", answered(change, expected=expected), figures)]
