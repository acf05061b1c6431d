"""Figure 3 of the paper as a study: what FSQ and VQ make of codebooks from 2^4 to 2^16 codes.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, Final, get_args

from gridcode.quantize.config import FSQConfig, QuantizerConfig, VQConfig
from gridcode.quantize.fsq.levels import recommended_levels
from gridcode.studies.codebooks.by_size import SizeStudy
from gridcode.studies.codebooks.config import TradeoffConfig
from gridcode.studies.config import PRESETS, Family
from gridcode.studies.curves import BITS, COSTS, RECONSTRUCTION, SAMPLES, Curve, Curves, size_text
from gridcode.studies.images import Recipe
from gridcode.studies.study import Cell, Values
from gridcode.studies.summary import Summary, Verdict, answered, difference

NAMES: Final[dict[str, str]] = {
    "fsq": "FSQ",
    "vq": "VQ",
    "vq_entropy": "VQ, entropy loss",
    "vq_splitting": "VQ, splitting",
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
        """The family; a large VQ costs more than a small one."""
        family, _, size = cell.setting.partition("-")
        return f"{family}, {'large' if int(size) > 2**12 else 'small'}"

    def recipe(self, cell: Cell) -> Recipe:
        """See :class:`ImageStudy`."""
        return Recipe(quantizer_of(cell.setting))

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        curves, costs = self.curves(results), self.curves(results, COSTS)
        return Summary(
            f"FSQ and VQ by size of the codebook, {self.config.data.dataset}",
            verdicts(curves),
            [*self.tables(curves), *self.tables(costs, COSTS, of=": bits a token")],
            self.panels(curves),
        )


def verdicts(curves: Mapping[str, Curves]) -> list[Verdict]:
    """Answers to the paper's claims, of the measures by name; without a family that it needs, a claim is left out."""
    usage, distance = curves["usage"], curves[RECONSTRUCTION]
    vqs = get_args(Family)[1:]
    found = [_usage_falls(usage[family], NAMES[family]) for family in vqs if usage.get(family)]
    if usage.get("fsq"):
        found.append(_usage_stays(usage["fsq"]))
    if len(distance.get("fsq", {})) > 1:
        found.append(_keeps_improving(distance["fsq"]))
    found += [_has_a_best_size(distance[family], NAMES[family]) for family in vqs if len(distance.get(family, {})) > 1]
    best = _best_vq(distance)
    if best is not None and distance.get("fsq"):
        found.append(_vq_ahead_at_small_sizes(distance["fsq"], distance[best], NAMES[best]))
    samples = curves[SAMPLES]
    if len(samples.get("fsq", {})) > 2:
        found.append(_saturates(samples["fsq"]))
    bits = curves[BITS]
    if best is not None and bits.get("fsq") and bits.get(best):
        found.append(_costs_more(bits["fsq"], bits[best], NAMES[best]))
    return found


def _usage_falls(curve: Curve, name: str) -> Verdict:
    sizes = sorted(curve)
    under = [size for size in sizes if max(curve[size]) < 0.5]
    last = f"{fmean(curve[sizes[-1]]):.0%} at {size_text(sizes[-1])}"
    claim = f"usage of {name} falls under 50 % beyond some size"
    if sizes[-1] in under:
        return Verdict(claim, "seen", f"from {size_text(under[0])} on; {last}")
    return Verdict(claim, "not seen" if min(curve[sizes[-1]]) >= 0.5 else "open", last)


def _usage_stays(curve: Curve) -> Verdict:
    lowest = min(curve, key=lambda size: min(curve[size]))
    answer = "seen" if min(curve[lowest]) >= 0.5 else "not seen"
    figures = f"lowest {min(curve[lowest]):.0%} at {size_text(lowest)}"
    return Verdict("usage of FSQ stays above 50 % at every size", answer, figures)  # type: ignore[arg-type]


def _keeps_improving(curve: Curve) -> Verdict:
    sizes = sorted(curve)
    middle, last = sizes[(len(sizes) - 1) // 2], sizes[-1]
    change = difference(curve[last], curve[middle], curve.values())
    figures = f"reconstruction distance at {size_text(last)} less that at {size_text(middle)}: {change.text(3)}"
    return Verdict("FSQ reconstructs the better the larger the codebook", answered(change, expected=-1), figures)


def _has_a_best_size(curve: Curve, name: str) -> Verdict:
    sizes = sorted(curve)
    best, last = min(sizes, key=lambda size: fmean(curve[size])), sizes[-1]
    claim = f"{name} has a best size, beyond which it reconstructs worse"
    if best == last:
        return Verdict(claim, "not seen", f"the largest, {size_text(last)}, reconstructs best")
    change = difference(curve[last], curve[best], curve.values())
    figures = f"best at {size_text(best)}; at {size_text(last)} the distance is {change.text(3)} from it"
    return Verdict(claim, answered(change, expected=1), figures)


def _vq_ahead_at_small_sizes(fsq: Curve, vq: Curve, name: str) -> Verdict:
    size = min(set(fsq) & set(vq))
    change = difference(fsq[size], vq[size], [*fsq.values(), *vq.values()])
    figures = f"at {size_text(size)} FSQ's reconstruction distance less that of {name}, the best VQ: {change.text(3)}"
    return Verdict("VQ is slightly ahead at small codebooks", answered(change, expected=1), figures)


def _saturates(curve: Curve) -> Verdict:
    """Whether the last two doublings that were measured bring less than a tenth of what all brought."""
    sizes = sorted(curve)
    means = [fmean(curve[size]) for size in sizes]
    gained, late = means[0] - min(means), means[-3] - min(means[-2:])
    figures = f"{means[0]:.2f} at {size_text(sizes[0])}, {means[-3]:.2f} at {size_text(sizes[-3])}, {means[-1]:.2f} at "
    answer = "seen" if late < 0.1 * gained else "not seen"
    claim = "the distance of FSQ's samples saturates"
    return Verdict(claim, answer, figures + size_text(sizes[-1]))  # type: ignore[arg-type]


def _costs_more(fsq: Curve, vq: Curve, name: str) -> Verdict:
    size = max(set(fsq) & set(vq))
    change = difference(fsq[size], vq[size], [*fsq.values(), *vq.values()])
    figures = f"at {size_text(size)} bits a token less those of {name}: {change.text(2)}"
    return Verdict("FSQ's tokens cost more bits than VQ's at large codebooks", answered(change, expected=1), figures)


def _best_vq(distance: Curves) -> str | None:
    """The VQ with the best reconstructions at any size."""
    lows = {
        family: min(map(fmean, points.values())) for family, points in distance.items() if family != "fsq" and points
    }
    return min(lows, key=lambda family: lows[family], default=None)
