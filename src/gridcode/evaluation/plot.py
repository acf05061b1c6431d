"""Where the lines of a chart go. The template draws them as SVG; here are only numbers and plain text.

A chart is a box of 480 x 260 units that scales with the page. Long curves are averaged into at most 240
buckets of equal length in steps. Colours come from the page's style sheet, so that they follow its scheme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gridcode.evaluation.charts import Chart, CodeUsage, Curve, Mark

WIDTH, HEIGHT = 480.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 12.0, 38.0
_BUCKETS = 240
_HOVERS = 60
_LOG_FROM = 30.0
_COLOURS = 6


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in the box and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Trace:
    """A drawn curve: SVG path data, its end, and the number of its colour."""

    name: str
    path: str
    end: tuple[float, float]
    colour: int


@dataclass(frozen=True)
class Hover:
    """A strip of the chart that shows the values at one step."""

    left: float
    width: float
    at: float
    dots: tuple[tuple[float, float, int], ...]
    text: str


@dataclass(frozen=True)
class Flag:
    """A mark's place in the box."""

    at: float
    mark: Mark


@dataclass(frozen=True)
class Plot:
    """A chart laid out in its box."""

    chart: Chart
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    traces: tuple[Trace, ...]
    hovers: tuple[Hover, ...]
    flags: tuple[Flag, ...] = ()
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class _Axis:
    """Maps values to places: ``place(v) = start + (f(v) - low) * scale``."""

    ticks: tuple[Tick, ...]
    place: Callable[[float], float]


def lay_out(chart: Chart) -> Plot | None:
    """Place a chart's curves, ticks and hover strips.

    Returns:
        The plot, or None where no curve has a finite point.

    >>> plot = lay_out(Chart("Loss", [Curve("train", [(0, 1.0), (100, 0.5)])]))
    >>> [tick.label for tick in plot.x_ticks]
    ['0', '20', '40', '60', '80', '100']
    """
    curves = [(curve.name, _finite(curve.points)) for curve in chart.curves]
    curves = [(name, points) for name, points in curves if len(points)]
    if not curves:
        return None
    every = np.concatenate([points for _, points in curves])
    marked = np.asarray([mark.step for mark in chart.marks], dtype=np.float64)
    x = _axis(np.concatenate([every[:, 0], marked]), _LEFT, WIDTH - _RIGHT, room=0.0)
    # The raw points are noisier than the drawn ones; the axis need only hold what is drawn.
    drawn = [(name, _thin(points)) for name, points in curves]
    y = _axis(np.concatenate([points for _, points in drawn])[:, 1], HEIGHT - _BOTTOM, _TOP, room=0.06)
    traces, placed = [], []
    for number, (name, points) in enumerate(drawn):
        places = [(x.place(step), y.place(value)) for step, value in points.tolist()]
        placed.append(places)
        traces.append(Trace(name, _path(places), places[-1], number % _COLOURS))
    hovers = _hovers(drawn, placed)
    flags = tuple(Flag(x.place(mark.step), mark) for mark in chart.marks)
    return Plot(chart, x.ticks, y.ticks, tuple(traces), hovers, flags)


def rank_chart(usage: CodeUsage) -> Plot | None:
    """Uses of each code against its rank, with the line of a codebook whose codes are all used alike."""
    used = len(usage.counts)
    if not used:
        return None
    places = [np.linspace(1, used, _BUCKETS // 2), np.geomspace(1, used, _BUCKETS // 2)]
    ranks = np.unique(np.concatenate(places).round().astype(np.int64))
    even = usage.tokens / usage.codebook_size
    return lay_out(
        Chart(
            "Codes by rank",
            [
                Curve("used codes", [(int(rank), int(usage.counts[rank - 1])) for rank in ranks]),
                Curve("all codes alike", [(1, even), (usage.codebook_size, even)]),
            ],
            x="rank of the code",
            y="uses",
        )
    )


def number(value: float | int | str) -> str:
    """A figure for reading: whole numbers with separators, others to four digits, text as it is.

    >>> [number(value) for value in (16384, 0.123456, 23.456789, 12345.6, 1e-6, "n/a", float("nan"))]
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


def _axis(values: NDArray[np.float64], start: float, end: float, *, room: float) -> _Axis:
    """Fit an axis to values; one with room ends a little beyond them and may be logarithmic."""
    low, high = float(values.min()), float(values.max())
    logarithmic = room > 0 and low > 1e-200 and high >= _LOG_FROM * low
    if logarithmic:
        ticks = _log_ticks(low, high)
        low, high = math.log10(low), math.log10(high)
    size = max(abs(low), abs(high))
    if high - low < max(1e-9 * size, 1e-200):  # one value, up to rounding: put it in the middle
        around = 0.5 * size if size > 1e-200 else 0.5
        low, high = low - around, high + around
    low, high = low - room * (high - low), high + room * (high - low)
    if not logarithmic:
        ticks = _ticks(low, high)

    def place(value: float) -> float:
        position = math.log10(value) if logarithmic else value
        return round(start + (position - low) / (high - low) * (end - start), 2)

    return _Axis(tuple(Tick(place(at), _label(at)) for at in ticks), place)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within [low, high]."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """At most ten powers of ten within [low, high], or 1, 2, 5 times each where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1, 1 + (last - first) // 10)
    factors = (1,) if last - first > 4 else (1, 2, 5)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _label(value: float) -> str:
    if value != 0 and (abs(value) >= 10_000 or abs(value) < 0.001):
        for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:.4g}{suffix}"
        return f"{value:.0e}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


def _hovers(
    drawn: Sequence[tuple[str, NDArray[np.float64]]], placed: Sequence[Sequence[tuple[float, float]]]
) -> tuple[Hover, ...]:
    """Strips around the steps of the longest curve, with the nearest value of each curve."""
    longest = max(range(len(drawn)), key=lambda k: len(drawn[k][1]))
    steps = drawn[longest][1][:, 0]
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _HOVERS)).round().astype(int))
    centres = [placed[longest][k][0] for k in chosen]
    edges = [_LEFT, *((a + b) / 2 for a, b in pairwise(centres)), WIDTH - _RIGHT]
    hovers = []
    for strip, k in enumerate(chosen):
        nearest = [int(np.abs(points[:, 0] - steps[k]).argmin()) for _, points in drawn]
        lines = [
            f"{name}: {number(float(points[at, 1]))} at {number(round(float(points[at, 0])))}"
            for (name, points), at in zip(drawn, nearest, strict=True)
        ]
        dots = tuple((*placed[curve][at], curve % _COLOURS) for curve, at in enumerate(nearest))
        left, right = edges[strip], edges[strip + 1]
        hovers.append(Hover(round(left, 2), round(right - left, 2), centres[strip], dots, "\n".join(lines)))
    return tuple(hovers)
