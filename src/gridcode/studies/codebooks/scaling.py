"""Codebooks from 2^10 to 2^20 codes: up to which size does FSQ improve?

    setting                  quantizer, and how the prior predicts its tokens
    fsq_joint-1024           FSQ; one softmax over the codebook, as in the paper
    fsq_independent-1024     FSQ; a softmax for each digit
    fsq_chain-1024           FSQ; a softmax for each digit, given those before it
    vq-1024                  VQ with MaskGIT's entropy loss; one softmax

A softmax or a table of vectors is as large as the codebook, so ``fsq_joint`` and ``vq`` end at the size ``held``.
Usage is shown beside that of codes used evenly. N tokens drawn evenly from K codes show on average the share

    1 - (1 - 1/K)^N

of them: 490,000 tokens 37 % of 2^20. Seconds and memory are those of training the prior on the machine that ran
the study; memory is what it takes beyond what the process held before. FSQ's heads have one tokenizer a size and seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
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
    OF_EXPECTED,
    PLOTTED,
    RECONSTRUCTION,
    SAMPLES,
    Curve,
    Curves,
    size_text,
    with_expected,
)
from gridcode.studies.images import Recipe, tidy_stages
from gridcode.studies.intervals import above, above_everywhere, answered, below, contrast, difference, percent
from gridcode.studies.results import read_result
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Column, Summary, Verdict

NAMES: Final = {
    "fsq_joint": "FSQ, one softmax",
    "fsq_independent": "FSQ, independent digits",
    "fsq_chain": "FSQ, chain of digits",
    "vq": "VQ with entropy loss",
}
HEADS: Final[dict[str, Head]] = {"fsq_independent": "independent", "fsq_chain": "chain"}
HELD: Final = ("fsq_joint", "vq")
"""The families that hold something as large as the codebook."""
LITTLE: Final = 0.05
"""A gain in Fréchet distance that a larger codebook is not worth, as a share of it."""
SECONDS: Final = "prior_seconds_a_step"
SCALING: Final = (
    *MEASURES,
    Column(OF_EXPECTED, "usage, as a share of even use", 1, percent=True),
    Column(SECONDS, "seconds per step of Stage II", 3),
    Column("prior_peak_mib", "memory of training Stage II (MiB)", 0),
    Column("prior_parameters", "parameters of Stage II", fixed=True),
)


@dataclass(frozen=True)
class Scaling(SizeStudy):
    """See the module."""

    name: ClassVar[str] = "scaling"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "families", "bits", "held")
    titles = NAMES
    config: ScalingConfig = field(default_factory=ScalingConfig)

    def cell_settings(self) -> list[str]:
        """See :class:`ImageStudy`; what is as large as the codebook ends at the size ``held``.

        All sizes of a line follow each other, so that cells with the same Stage I seldom wait for each other.
        """
        sizes = self.config.bits
        return [
            f"{line}-{2**bits}"
            for line in self.lines()
            for bits in sizes
            if line not in HELD or bits <= self.config.held
        ]

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
        shared = f"stage_one/fsq-{size}-{cell.seed}"
        return Recipe(FSQConfig(levels=levels), HEADS.get(family, "joint"), costs=True, shared=shared)

    def tidy(self, cell: Cell, out: Path) -> None:
        """See :class:`Study`; what cells share is kept until the last of them is finished."""
        super().tidy(cell, out)
        shared = self.recipe(cell).shared
        if shared is not None and all(
            read_result(out, other) for other in self.cells() if self.recipe(other).shared == shared
        ):
            tidy_stages(out / shared)

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        config = self.config
        found = {cell: with_expected(values) for cell, values in results.items()}
        curves = self.curves(found, SCALING)
        return Summary(
            f"Codebooks up to {size_text(2.0 ** max(config.bits))}, {config.data.dataset}",
            verdicts(curves, head_differences(results)),
            self.tables(curves, SCALING),
            self.panels(curves, SCALING, (*PLOTTED, SECONDS, "prior_peak_mib"), even_use=self.even_use(found)),
            notes=(
                f"Stage II has {config.prior(0).loop.steps} steps at every size, and samples are drawn at temperature "
                "1: those of large codebooks may be worse for want of training. FSQ's heads are compared on the same "
                "tokenizers, in pairs.",
            ),
        )


def head_differences(results: Mapping[Cell, Values]) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Figures of digit heads minus those of one softmax on the same tokenizer: by measure, head and size."""
    found: dict[str, dict[str, dict[float, list[float]]]] = {key: {} for key in (BITS, SECONDS)}
    for cell, values in results.items():
        line, _, size = cell.setting.partition("-")
        joint = results.get(Cell(f"fsq_joint-{size}", cell.seed))
        if line in HEADS and joint is not None:
            for key, of_key in found.items():
                of_key.setdefault(line, {}).setdefault(float(size), []).append(values[key] - joint[key])
    return found


def verdicts(curves: Mapping[str, Curves], heads: Mapping[str, Curves] | None = None) -> list[Verdict]:
    """Where the grid stops paying, what digits cost, and how VQ compares; as far as there are cells.

    Args:
        curves: The figures by measure.
        heads: See :func:`head_differences`.
    """
    grid = {key: of[line] for key, of in curves.items() if (line := _largest(of)) is not None}
    found = []
    if grid.get(OF_EXPECTED):
        found.append(_usage_stays(grid[OF_EXPECTED]))
    if len(grid.get(RECONSTRUCTION, {})) > 1:
        found.append(_stops_paying(grid[RECONSTRUCTION], "reconstruct better"))
    samples = {line: curve for line, curve in curves.get(SAMPLES, {}).items() if line != "vq" and len(curve) > 1}
    reach = max((max(curve) for curve in samples.values()), default=0.0)
    for line, curve in samples.items():
        if max(curve) == reach:
            found.append(_stops_paying(curve, f"give better samples, {NAMES[line].partition(', ')[2]}"))
    for digits in HEADS:
        for key, more, unit, sign in (
            (BITS, "more bits", "bits per token", 1),
            (SECONDS, "less time", "seconds per step", -1),
        ):
            beside = (heads or {}).get(key, {}).get(digits)
            if beside:
                found.append(_head_compared(beside, NAMES[digits].partition(", ")[2], more, unit, sign))  # type: ignore[arg-type]
    distance = curves.get(RECONSTRUCTION, {})
    return [*found, *_vq_compared(distance.get("fsq_joint", {}), distance.get("vq", {}))]


def _largest(curves: Curves) -> str | None:
    """The line of FSQ that reaches the largest codebook."""
    reach = {line: max(points) for line, points in curves.items() if line != "vq" and points}
    return max(reach, key=lambda line: reach[line], default=None)


def _usage_stays(curve: Curve) -> Verdict:
    lowest, used, answer = above_everywhere(curve, 0.5)
    claim = "FSQ shows more than half of the codes that even use would show, at every size"
    return Verdict(claim, answer, f"lowest at {size_text(lowest)}, {used.share_text()}")


def _stops_paying(curve: Curve, what: str) -> Verdict:
    """Seen where a codebook, the smallest of which is named, is at most a little worse than any larger one."""
    *smaller, last = sorted(curve)
    claim = f"beyond some size larger grids no longer {what}"
    for size in smaller:
        changes = {
            larger: difference(curve[larger], curve[size], curve.values(), comparisons=len(smaller))
            for larger in curve
            if larger > size
        }
        if all(above(change, -LITTLE * fmean(curve[size])) == "seen" for change in changes.values()):
            best = min(changes, key=lambda larger: changes[larger].low)
            figures = (
                f"no larger one betters {size_text(size)} by {percent(LITTLE)}: {fmean(curve[size]):.3f} there, "
                f"at {size_text(best)} {changes[best].text(3)}"
            )
            return Verdict(claim, "seen", figures)
    before = smaller[-1]
    change = difference(curve[last], curve[before], curve.values(), comparisons=len(smaller))
    pays = below(change, -LITTLE * fmean(curve[before])) == "seen"
    figures = f"the distance at {size_text(last)} minus that at {size_text(before)}: {change.text(3)}"
    return Verdict(claim, "opposite" if pays else "open", figures)


def _head_compared(curve: Curve, name: str, what: str, unit: str, expected: Literal[1, -1]) -> Verdict:
    """A head beside one softmax at the largest size that both have; other sizes were trained apart."""
    size = max(curve)
    change = contrast([(1.0, curve[size])], curve.values())
    figures = f"{unit}, {name} minus one softmax: {change.text(3)}"
    return Verdict(
        f"{name}: {what} than one softmax at {size_text(size)}", answered(change, expected=expected), figures
    )


def _vq_compared(fsq: Curve, vq: Curve) -> list[Verdict]:
    """At the largest size that both have; nothing where they share none."""
    common = set(fsq) & set(vq)
    if not common:
        return []
    size = max(common)
    change = difference(fsq[size], vq[size], [*fsq.values(), *vq.values()])
    claim = f"FSQ reconstructs better than VQ at {size_text(size)}"
    return [Verdict(claim, answered(change, expected=-1), f"FSQ's distance minus VQ's: {change.text(3)}")]
