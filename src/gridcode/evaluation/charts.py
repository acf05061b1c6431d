"""The charts of a report: named curves on one pair of axes, and how often each code was used, drawn by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_BUCKETS: Final = 240
# In points: a chart, the name of its upright axis and the ticks, one digit of a tick's label, names below it.
_WIDTH, _HEIGHT, _LABEL, _DIGIT, _LABELS = 388.8, 216.0, 28.0, 5.8, 38.0
_LOG_FROM: Final = 30.0

# Colours as the light page has them, and the names under which the page's style sheet knows them.
_CURVES: Final = ("#3355d8", "#d9622b", "#178f75", "#a03bb8", "#b58a00", "#5b6473")
_INK, _FAINT, _GRID, _MARK = "#5b6472", "#8a93a1", "#e3e6eb", "#8a5300"
_VARIABLES: Final = {colour: f"--c{number}" for number, colour in enumerate(_CURVES)} | {
    _INK: "--soft",
    _FAINT: "--faint",
    _GRID: "--rule",
    _MARK: "--warn",
}


@dataclass(frozen=True)
class Curve:
    """A named line of (step, value) points; values that are not finite are left out.

    >>> Curve("train", [(0, 1.0), (10, 0.5)]).name
    'train'
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step, an alarm say: an upright line across the chart.

    >>> Mark(300, "usage falling").text
    'usage falling'
    """

    step: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Curves on one pair of axes. The value axis is logarithmic where the values span a factor of 30 or more.

    >>> Chart("Stage I", [Curve("train", [(0, 1.0)])], y="loss (nats)").x
    'step'
    """

    title: str
    curves: Sequence[Curve]
    x: str = "step"
    y: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class CodeUsage:
    """How often each code was used.

    Attributes:
        counts: Uses of every code that was used, most used first, (used,) int64.
        codebook_size: K.
        digits: For each channel the uses of its digits 0 .. L_i - 1, (L_i,) int64 each; may be left out, as it is for
            a codebook without digits.
    """

    counts: NDArray[np.int64]
    codebook_size: int
    digits: tuple[NDArray[np.int64], ...] = ()

    @property
    def tokens(self) -> int:
        """Number of tokens counted."""
        return int(self.counts.sum())

    @staticmethod
    def from_indices(indices: ArrayLike, levels: Sequence[int]) -> CodeUsage:
        """Count tokens.

        Args:
            indices: Integers in [0, K), any shape, at least one.
            levels: L_1 ... L_d; digit 0 changes fastest. One level alone is a codebook without digits: ranks alone.

        >>> CodeUsage.from_indices([0, 0, 5], (2, 3)).digits
        (array([2, 1]), array([2, 0, 1]))
        """
        codes, counts = np.unique(np.asarray(indices, dtype=np.int64), return_counts=True)
        size = math.prod(levels)
        if not len(codes) or codes[0] < 0 or codes[-1] >= size:
            seen = f"{codes[0]} to {codes[-1]}" if len(codes) else "none"
            raise GridcodeError(f"code usage: needs indices from 0 to {size - 1} (levels {tuple(levels)}), got {seen}")
        digits = []
        for level in levels if len(levels) > 1 else ():
            digits.append(np.bincount(codes % level, weights=counts, minlength=level).astype(np.int64))
            codes = codes // level
        return CodeUsage(np.sort(counts)[::-1].astype(np.int64), size, tuple(digits))


def rank_chart(usage: CodeUsage) -> Chart:
    """Uses of each code against its rank, with the line of a codebook whose codes are all used alike."""
    used = len(usage.counts)
    places = [np.linspace(1, used, _BUCKETS // 2), np.geomspace(1, used, _BUCKETS // 2)] if used else [np.zeros(0)]
    ranks = np.unique(np.concatenate(places).round().astype(np.int64))
    even = usage.tokens / usage.codebook_size
    return Chart(
        "Codes by rank",
        [
            Curve("used codes", [(int(rank), int(usage.counts[rank - 1])) for rank in ranks]),
            Curve("all codes alike", [(1, even), (usage.codebook_size, even)] if used else []),
        ],
        x="rank of the code",
        y="uses",
    )


def draw_chart(chart: Chart) -> str | None:
    """Draw curves and marks.

    Args:
        chart: What to draw. A curve of more than 240 points is averaged in buckets of equal length in steps.

    Returns:
        An ``<svg>`` element to stand in a page; None where no curve has a finite point.

    >>> svg = draw_chart(Chart("Loss", [Curve("train", [(0, 1.0), (100, 0.5)])], y="loss (nats)"))
    >>> "loss (nats)" in svg
    True
    """
    curves = [(curve.name, _thin(_finite(curve.points))) for curve in chart.curves]
    curves = [(name, points) for name, points in curves if len(points)]
    if not curves:
        return None
    with chart_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

        figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72))
        axes = figure.add_subplot()
        _leave_margins(figure, left=_LABEL, bottom=_LABELS, right=14, top=8)
        for number, (name, points) in enumerate(curves):
            marker = "o" if len(points) == 1 else ""
            axes.plot(points[:, 0], points[:, 1], label=name, color=f"C{number % len(_CURVES)}", marker=marker)
        values = np.concatenate([points[:, 1] for _, points in curves])
        if values.min() > 1e-200 and values.max() >= _LOG_FROM * values.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(
                LogLocator(subs=(1.0, 2.0, 5.0) if values.max() < 1e4 * values.min() else (1.0,))
            )
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, place: readable(value)))
        for mark in chart.marks:
            axes.axvline(mark.step, color=_MARK, linestyle=(0, (4, 3)), linewidth=1.2)
            axes.text(
                mark.step, 0.98, f" {mark.text} at step {readable(round(mark.step))}", color=_MARK, rotation=90,
                ha="right", va="top", fontsize=8, transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.set_xlabel(chart.x)
        axes.set_ylabel(chart.y)
        if len(curves) > 1:
            axes.legend()
        # Labels of the upright axis stand beside it; the last one below may stick out by half its length.
        below, beside = (_longest(axis) for axis in (axes.xaxis, axes.yaxis))
        _leave_margins(figure, left=_LABEL + beside, right=max(14, below / 2 + 2))
        return _svg(figure)


def draw_digits(usage: CodeUsage) -> str | None:
    """Draw how often each digit of each channel is used, a panel a channel.

    Returns:
        An ``<svg>`` element to stand in a page; None where the codes have no digits.

    >>> draw_digits(CodeUsage.from_indices([0, 1, 5], (2, 3))).startswith("<svg")
    True
    """
    if not usage.digits:
        return None
    with chart_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        columns = min(len(usage.digits), 6)
        rows = math.ceil(len(usage.digits) / columns)
        height = max(_HEIGHT, 115 * rows)
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
        for number, (panel, counts) in enumerate(zip(panels, usage.digits, strict=False), 1):
            panel.bar(np.arange(len(counts)), counts / max(1, counts.sum()), color="C0", width=0.8)
            panel.set_title(f"channel {number}")
            panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
            panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        for panel in panels[len(usage.digits) :]:
            panel.set_visible(False)
        left, top, between_columns, between_rows = _LABEL + 5 * _DIGIT, 18, 8, 36
        _leave_margins(figure, left=left, bottom=_LABELS, right=8, top=top)
        wide = (_WIDTH - left - 8 - (columns - 1) * between_columns) / columns
        high = (height - _LABELS - top - (rows - 1) * between_rows) / rows
        figure.subplots_adjust(wspace=between_columns / wide, hspace=between_rows / high)
        middle = figure.subplotpars
        figure.supxlabel("digit", x=(middle.left + middle.right) / 2, fontsize=9, color=_INK)
        figure.supylabel("share of tokens", x=0.005, y=(middle.bottom + middle.top) / 2, fontsize=9, color=_INK)
        return _svg(figure)


def readable(value: float | int | str) -> str:
    """A figure for reading: whole numbers with separators, others to four digits, text as it is.

    >>> [readable(value) for value in (16384, 0.123456, 23.456789, 12345.6, 1e-6, "n/a", float("nan"))]
    ['16,384', '0.1235', '23.46', '12,346', '1e-06', 'n/a', 'not a number']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "not a number"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _finite(points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Points (n, 2) in the order of their steps, without those that are not finite."""
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    array = array[np.isfinite(array).all(axis=1)]
    return array[np.argsort(array[:, 0], kind="stable")]


def _thin(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average a long curve in buckets of equal length; the last point stays as it is."""
    if len(points) <= _BUCKETS:
        return points
    steps = points[:, 0]
    edges = np.linspace(steps[0], steps[-1], _BUCKETS + 1)[1:-1]
    buckets = np.split(points, np.searchsorted(steps, edges))
    means = [bucket.mean(axis=0) for bucket in buckets if len(bucket)]
    return np.stack([*means, points[-1]])


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw as the report's page looks; text stays text, and the same chart is the same bytes."""
    import matplotlib as mpl
    from cycler import cycler

    settings: Any = {  # matplotlib's own names
        "svg.fonttype": "none",
        "svg.hashsalt": "gridcode",
        "text.parse_math": False,
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.prop_cycle": cycler(color=list(_CURVES)),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "axes.titlesize": 9,
        "axes.titlecolor": _INK,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": _GRID,
        "grid.linewidth": 0.8,
        "xtick.color": _FAINT,
        "ytick.color": _FAINT,
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "legend.labelcolor": _INK,
    }
    with mpl.rc_context(settings):
        yield


def _leave_margins(figure: Figure, **points: float) -> None:
    """Margins in points around a figure's panels; a layout engine of matplotlib's would draw the figure twice more."""
    width, height = figure.get_size_inches() * 72
    for side, room in points.items():
        share = room / (width if side in ("left", "right") else height)
        figure.subplots_adjust(**{side: share if side in ("left", "bottom") else 1 - share})


def _longest(axis: Axis) -> float:
    """How long the longest label of an axis's ticks is, in points."""
    low, high = axis.get_view_interval()
    ticks = [readable(value) for value in axis.get_majorticklocs() if low <= value <= high]
    return _DIGIT * max(map(len, ticks), default=0)


def _svg(figure: Figure) -> str:
    """The figure as an element: no prolog, date or address; colours are the page's, so that they follow its scheme."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
