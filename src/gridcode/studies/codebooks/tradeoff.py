"""Figure 3 of the paper: what FSQ and VQ make of codebooks from 2^4 to 2^16 codes.

    setting              quantizer
    fsq-1024             FSQ, the paper's levels for that size (Table 1), or the nearest product of levels from 5 on
    vq-1024              VQ as in VQ-VAE: learned by its loss, nothing keeps codes alive
    vq_entropy-1024      VQ with MaskGIT's entropy loss
    vq_splitting-1024    VQ with UViM's splitting of codes

The paper's claims (section 5.2), each answered in a verdict: VQ's usage falls under a half beyond some size and FSQ's
does not; FSQ reconstructs the better the larger the codebook and VQ has a best size; the distance of samples saturates;
VQ is ahead at small codebooks; FSQ's tokens cost more bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, Final, get_args

from gridcode.quantize.config import FSQConfig, QuantizerConfig, VQConfig
from gridcode.quantize.fsq.levels import recommended_levels
from gridcode.studies.codebooks.by_size import SizeStudy
from gridcode.studies.codebooks.config import TradeoffConfig
from gridcode.studies.config import PRESETS, Family
from gridcode.studies.curves import BITS, COSTS, RECONSTRUCTION, SAMPLES, Curve, Curves, size_text, with_expected
from gridcode.studies.images import Recipe
from gridcode.studies.intervals import (
    above,
    above_everywhere,
    answered,
    average,
    below,
    contrast,
    difference,
    least_inside,
    percent,
)
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Summary, Verdict

NAMES: Final[dict[str, str]] = {
    "fsq": "FSQ",
    "vq": "VQ",
    "vq_entropy": "VQ with entropy loss",
    "vq_splitting": "VQ with splitting",
}


def quantizer_of(setting: str) -> QuantizerConfig:
    """The quantizer that a setting stands for.

    >>> quantizer_of("fsq-1024").levels, quantizer_of("vq_splitting-64").preset
    ((8, 5, 5, 5), 'uvim')
    """
    family, _, size = setting.partition("-")
    if family == "fsq":
        return FSQConfig(levels=recommended_levels(int(size).bit_length() - 1))
    preset = PRESETS[family]
    return VQConfig(preset, size=int(size))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Tradeoff(SizeStudy):
    """See the module."""

    name: ClassVar[str] = "tradeoff"
    titles = NAMES
    config: TradeoffConfig = field(default_factory=TradeoffConfig)

    def kind(self, cell: Cell) -> str:
        """The family, and the size where the time depends on it."""
        family, _, size = cell.setting.partition("-")
        return f"{family}, {size_text(int(size))}" if int(size) > 2**12 else f"{family}, up to 2^12"

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        return Recipe(quantizer_of(cell.setting))

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        curves, costs = self.curves(results), self.curves(results, COSTS)
        even_use = self.even_use(
            {cell: with_expected(values) for cell, values in results.items() if "tokens" in values}
        )
        return Summary(
            f"FSQ and VQ by size of the codebook, {self.config.data.dataset}",
            verdicts(curves, even_use),
            [*self.tables(curves), *self.tables(costs, COSTS, of=": bits per token")],
            self.panels(curves, even_use=even_use),
        )


def verdicts(curves: Mapping[str, Curves], even_use: Curve | None = None) -> list[Verdict]:
    """Answers to the paper's claims; without a family that it needs, a claim is left out.

    Args:
        curves: By measure.
        even_use: The usage that codes used evenly would show, by size; said where it is well below 1.
    """
    usage, distance = curves["usage"], curves[RECONSTRUCTION]
    vqs = get_args(Family)[1:]
    found = [_usage_falls(usage[family], NAMES[family], even_use or {}) for family in vqs if usage.get(family)]
    if usage.get("fsq"):
        found.append(_usage_stays(usage["fsq"], even_use or {}))
    if len(distance.get("fsq", {})) > 1:
        found.append(_keeps_improving(distance["fsq"]))
    found += [_has_a_best_size(distance[family], NAMES[family]) for family in vqs if len(distance.get(family, {})) > 1]
    found += _vq_ahead_at_small_sizes(distance)
    samples = curves[SAMPLES]
    if len(samples.get("fsq", {})) > 2:
        found.append(_saturates(samples["fsq"]))
    return found + _costs_more(curves[BITS], distance)


def _usage_falls(curve: Curve, name: str, even_use: Curve) -> Verdict:
    """Whether the largest codebook is used by less than a half."""
    sizes = sorted(curve)
    under = [size for size in sizes if fmean(curve[size]) < 0.5]
    used = average(curve[sizes[-1]], curve.values())
    first = f"mean under 50 % at {', '.join(map(size_text, under))}; " if under else ""
    figures = f"{first}{used.share_text()} at {size_text(sizes[-1])}{_even(even_use, sizes[-1])}"
    return Verdict(f"usage of {name} is under 50 % at {size_text(sizes[-1])}", below(used, 0.5), figures)


def _usage_stays(curve: Curve, even_use: Curve) -> Verdict:
    lowest, used, answer = above_everywhere(curve, 0.5)
    figures = f"lowest at {size_text(lowest)}, {used.share_text()}{_even(even_use, lowest)}"
    return Verdict("usage of FSQ stays above 50 % at every size", answer, figures)


def _even(even_use: Curve, size: float) -> str:
    """What the sample would show of evenly used codes, where that is less than nearly all of them."""
    shown = fmean(even_use.get(size, [1.0]))
    return f"; codes used evenly would show {percent(shown)} in this sample" if shown < 0.95 else ""


def _keeps_improving(curve: Curve) -> Verdict:
    sizes = sorted(curve)
    middle, last = sizes[(len(sizes) - 1) // 2], sizes[-1]
    change = difference(curve[last], curve[middle], curve.values())
    claim = f"FSQ reconstructs better with {size_text(last)} codes than with {size_text(middle)}"
    return Verdict(claim, answered(change, expected=-1), f"Fréchet distance {change.text(3)}")


def _has_a_best_size(curve: Curve, name: str) -> Verdict:
    claim = f"{name} has a best size, beyond which it reconstructs worse"
    found = least_inside(sorted(curve.items()))
    assert found is not None
    best, change = found
    figures = (
        f"the distance at {size_text(max(curve))} minus that at {size_text(best)}, the best of the smaller: "
        f"{change.text(3)}"
    )
    return Verdict(claim, answered(change, expected=1), figures)


def _vq_ahead_at_small_sizes(distance: Curves) -> list[Verdict]:
    size = min(_sizes_of_both(distance), default=None)
    if size is None:
        return []
    vqs = _vqs_at(distance, size)
    best = min(vqs, key=lambda family: fmean(vqs[family]))
    groups = [values for curve in distance.values() for values in curve.values()]
    change = difference(distance["fsq"][size], vqs[best], groups, comparisons=len(vqs))
    figures = f"FSQ's distance minus that of {NAMES[best]}, the best VQ of that size: {change.text(3)}"
    claim = f"VQ reconstructs better than FSQ with {size_text(size)} codes"
    return [Verdict(claim, answered(change, expected=1), figures)]


def _saturates(curve: Curve) -> Verdict:
    """Whether the last two steps in size bring less than a tenth of what all steps bring, and lose no more either."""
    sizes = sorted(curve)
    first, before, last = sizes[0], sizes[-3], sizes[-1]
    claim = "the distance of FSQ's samples saturates"
    inside = least_inside(sorted(curve.items()))
    assert inside is not None
    best, rise = inside
    means = ", ".join(f"{fmean(curve[size]):.2f} at {size_text(size)}" for size in sorted({first, best, before, last}))
    if above(rise, 0.1 * (fmean(curve[first]) - fmean(curve[best]))) == "seen":
        text = f"{means}; the distance at {size_text(last)} minus that at {size_text(best)}: {rise.text(2)}"
        return Verdict(claim, "not seen", text)
    gained = difference(curve[first], curve[last], curve.values())
    if gained.sign <= 0:
        text = f"{means}; the distance at the smallest minus that at the largest: {gained.text(2)}"
        return Verdict(claim, "open", text)
    # (before - last) - (first - last) / 10; of three sizes the first is also the one before the last two.
    weights = dict.fromkeys(sizes, 0.0)
    for size, weight in ((before, 1.0), (first, -0.1), (last, -0.9)):
        weights[size] += weight
    terms = [(weight, curve[size]) for size, weight in weights.items() if weight]
    beyond = contrast(terms, curve.values())
    figures = f"{means}; beyond a tenth of the whole gain the last two steps bring {beyond.text(2)}"
    return Verdict(claim, below(beyond, 0.0), figures)


def _costs_more(bits: Curves, distance: Curves) -> list[Verdict]:
    size = max(_sizes_of_both(bits), default=None)
    if size is None:
        return []
    vqs, distances = _vqs_at(bits, size), _vqs_at(distance, size)
    if not set(vqs) & set(distances):
        return []
    best = min(set(vqs) & set(distances), key=lambda family: fmean(distances[family]))
    groups = [values for curve in bits.values() for values in curve.values()]
    change = difference(bits["fsq"][size], vqs[best], groups)
    figures = f"bits per token minus those of {NAMES[best]}, which reconstructs best: {change.text(2)}"
    claim = f"FSQ's tokens cost more bits than VQ's with {size_text(size)} codes"
    return [Verdict(claim, answered(change, expected=1), figures)]


def _sizes_of_both(curves: Curves) -> set[float]:
    """Sizes at which there are FSQ and a VQ."""
    return {size for family, curve in curves.items() if family != "fsq" for size in curve} & set(curves.get("fsq", {}))


def _vqs_at(curves: Curves, size: float) -> dict[str, Sequence[float]]:
    """The VQs' values over seeds at a size."""
    return {family: curve[size] for family, curve in curves.items() if family != "fsq" and size in curve}
