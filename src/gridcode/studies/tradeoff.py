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

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import ClassVar, Final, TypeAlias, get_args

from gridcode.quantize.config import FSQConfig, QuantizerConfig, VQConfig
from gridcode.quantize.fsq.levels import recommended_levels
from gridcode.studies.config import Family, TradeoffConfig
from gridcode.studies.images import (
    run_image_cell,
    tidy_image_cell,
    time_image_cell,
    train_classifier,
)
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import (
    Panel,
    Series,
    Spread,
    StudyTable,
    Summary,
    Verdict,
    answered,
    by_setting,
    difference,
)

NAMES: Final[dict[Family, str]] = {
    "fsq": "FSQ",
    "vq": "VQ",
    "vq_entropy": "VQ, entropy loss",
    "vq_splitting": "VQ, splitting",
}
PRESETS: Final = {"vq": "plain", "vq_entropy": "maskgit", "vq_splitting": "uvim"}
RECONSTRUCTION: Final = "reconstruction_frechet_on_classifier_features"
SAMPLES: Final = "sample_frechet_on_classifier_features"


@dataclass(frozen=True)
class Measure:
    """A figure of a cell as plots and tables show it."""

    key: str
    title: str
    digits: int
    percent: bool = False


MEASURES: Final = (
    Measure("psnr_db", "PSNR (dB)", 2),
    Measure(RECONSTRUCTION, "Fréchet distance, reconstructions", 3),
    Measure("usage", "codebook usage", 1, percent=True),
    Measure("perplexity", "perplexity", 0),
    Measure(SAMPLES, "Fréchet distance, samples", 2),
    Measure("bits_per_token", "compression cost (bits a token)", 2),
)
PLOTTED: Final = (RECONSTRUCTION, SAMPLES, "usage", "bits_per_token")
"""The panels of the paper's Figure 3, in its order."""


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
class Tradeoff(Study):
    """See the module."""

    name: ClassVar[str] = "tradeoff"
    config: TradeoffConfig = field(default_factory=TradeoffConfig)

    def settings(self) -> Values:
        """See :class:`Study`."""
        return asdict(self.config)

    def cells(self) -> list[Cell]:
        """See :class:`Study`; all of the first seed come first, so that the curves are there early."""
        return [
            Cell(f"{family}-{2**bits}", seed)
            for seed in range(self.config.seeds)
            for bits in self.config.bits
            for family in self.config.families
        ]

    def kind(self, cell: Cell) -> str:
        """The family; a large VQ costs more than a small one."""
        family, _, size = cell.setting.partition("-")
        return f"{family}, {'large' if int(size) > 2**12 else 'small'}"

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`."""
        return time_image_cell(self.config, quantizer_of(cell.setting))

    def prepare(self, out: Path) -> None:
        """Train the classifier that measures."""
        train_classifier(self.config, out)

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """See :class:`Study`."""
        return run_image_cell(self.config, quantizer_of(cell.setting), cell.seed, cell_folder(out, cell), out)

    def tidy(self, cell: Cell, out: Path) -> None:
        """See :class:`Study`."""
        tidy_image_cell(cell_folder(out, cell))

    def steps(self) -> str:
        """See :class:`Study`."""
        return self.config.steps()

    def headline(self, values: Values) -> str:
        """See :class:`Study`."""
        return f"{values['psnr_db']:.2f} dB, usage {values['usage']:.0%}, {values['bits_per_token']:.2f} bits a token"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        curves = {measure.key: self._curves(results, measure.key) for measure in MEASURES}
        return Summary(
            f"FSQ and VQ by size of the codebook, {self.config.data.dataset}",
            verdicts(curves),
            [self._table(curves, family) for family in self.config.families],
            [
                Panel(
                    measure.title,
                    [Series(NAMES[family], points) for family, points in curves[measure.key].items()],
                    x="codes",
                    log_x=True,
                    percent=measure.percent,
                )
                for key in PLOTTED
                for measure in MEASURES
                if measure.key == key and any(curves[key].values())
            ],
        )

    def _curves(self, results: Mapping[Cell, Values], key: str) -> Curves:
        """Values over seeds of a measure, by family and size."""
        found = by_setting(results, key)
        return {
            family: {
                float(2**bits): found[f"{family}-{2**bits}"]
                for bits in self.config.bits
                if f"{family}-{2**bits}" in found
            }
            for family in self.config.families
        }

    def _table(self, curves: Mapping[str, Curves], family: Family) -> StudyTable:
        rows = []
        for bits in self.config.bits:
            size = float(2**bits)
            row = [f"2^{bits}"]
            for measure in MEASURES:
                values = curves[measure.key][family].get(size)
                scale, unit = (100.0, " %") if measure.percent else (1.0, "")
                row.append("" if values is None else Spread.of(values).text(measure.digits, scale=scale) + unit)
            if any(row[1:]):
                rows.append(row)
        return StudyTable(NAMES[family], ("codes", *(measure.title for measure in MEASURES)), rows)


Curves: TypeAlias = dict[Family, dict[float, list[float]]]
"""Values over seeds, by family and size of the codebook."""


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
    bits = curves["bits_per_token"]
    if best is not None and bits.get("fsq") and bits.get(best):
        found.append(_costs_more(bits["fsq"], bits[best], NAMES[best]))
    return found


def _size(size: float) -> str:
    return f"2^{round(math.log2(size))}"


def _usage_falls(curve: Mapping[float, Sequence[float]], name: str) -> Verdict:
    sizes = sorted(curve)
    under = [size for size in sizes if max(curve[size]) < 0.5]
    last = f"{fmean(curve[sizes[-1]]):.0%} at {_size(sizes[-1])}"
    claim = f"usage of {name} falls under 50 % beyond some size"
    if sizes[-1] in under:
        return Verdict(claim, "seen", f"from {_size(under[0])} on; {last}")
    return Verdict(claim, "not seen" if min(curve[sizes[-1]]) >= 0.5 else "open", last)


def _usage_stays(curve: Mapping[float, Sequence[float]]) -> Verdict:
    lowest = min(curve, key=lambda size: min(curve[size]))
    answer = "seen" if min(curve[lowest]) >= 0.5 else "not seen"
    figures = f"lowest {min(curve[lowest]):.0%} at {_size(lowest)}"
    return Verdict("usage of FSQ stays above 50 % at every size", answer, figures)  # type: ignore[arg-type]


def _keeps_improving(curve: Mapping[float, Sequence[float]]) -> Verdict:
    sizes = sorted(curve)
    middle, last = sizes[len(sizes) // 2], sizes[-1]
    change = difference(curve[last], curve[middle], curve.values())
    figures = f"reconstruction distance at {_size(last)} less that at {_size(middle)}: {change.text(3)}"
    return Verdict("FSQ reconstructs the better the larger the codebook", answered(change, expected=-1), figures)


def _has_a_best_size(curve: Mapping[float, Sequence[float]], name: str) -> Verdict:
    sizes = sorted(curve)
    best, last = min(sizes, key=lambda size: fmean(curve[size])), sizes[-1]
    claim = f"{name} has a best size, beyond which it reconstructs worse"
    if best == last:
        return Verdict(claim, "not seen", f"the largest, {_size(last)}, reconstructs best")
    change = difference(curve[last], curve[best], curve.values())
    figures = f"best at {_size(best)}; at {_size(last)} the distance is {change.text(3)} from it"
    return Verdict(claim, answered(change, expected=1), figures)


def _vq_ahead_at_small_sizes(
    fsq: Mapping[float, Sequence[float]], vq: Mapping[float, Sequence[float]], name: str
) -> Verdict:
    size = min(set(fsq) & set(vq))
    change = difference(fsq[size], vq[size], [*fsq.values(), *vq.values()])
    figures = f"at {_size(size)} FSQ's reconstruction distance less that of {name}, the best VQ: {change.text(3)}"
    return Verdict("VQ is slightly ahead at small codebooks", answered(change, expected=1), figures)


def _saturates(curve: Mapping[float, Sequence[float]]) -> Verdict:
    """Whether the last two doublings that were measured bring less than a tenth of what all brought."""
    sizes = sorted(curve)
    means = [fmean(curve[size]) for size in sizes]
    gained, late = means[0] - min(means), means[-3] - min(means[-2:])
    figures = f"{means[0]:.2f} at {_size(sizes[0])}, {means[-3]:.2f} at {_size(sizes[-3])}, {means[-1]:.2f} at "
    answer = "seen" if late < 0.1 * gained else "not seen"
    claim = "the distance of FSQ's samples saturates"
    return Verdict(claim, answer, figures + _size(sizes[-1]))  # type: ignore[arg-type]


def _costs_more(fsq: Mapping[float, Sequence[float]], vq: Mapping[float, Sequence[float]], name: str) -> Verdict:
    size = max(set(fsq) & set(vq))
    change = difference(fsq[size], vq[size], [*fsq.values(), *vq.values()])
    figures = f"at {_size(size)} bits a token less those of {name}: {change.text(2)}"
    return Verdict("FSQ's tokens cost more bits than VQ's at large codebooks", answered(change, expected=1), figures)


def _best_vq(distance: Curves) -> Family | None:
    """The VQ with the best reconstructions at any size."""
    lows: dict[Family, float] = {
        family: min(map(fmean, points.values())) for family, points in distance.items() if family != "fsq" and points
    }
    if not lows:
        return None
    return min(lows, key=lambda family: lows[family])
