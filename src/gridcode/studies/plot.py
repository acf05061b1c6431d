"""A study's plot, in the style of the paper's figures: one panel a measure, curves over seeds, bars or a heat map."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridcode.evaluation.charts import chart_style
from gridcode.files import write_text
from gridcode.studies.summary import Bars, HeatMap, Panel, Trail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = (("o", "-"), ("s", "--"), ("^", ":"))
"""Markers and lines of the first names, of those after all colours were used once, and so on."""
COLUMNS = 2
"""Panels side by side, at most."""


def save_plot(panels: Sequence[Panel | HeatMap | Bars], path: Path) -> None:
    """Draw panels and write them as SVG.

    Args:
        panels: At least one.
        path: The file.
    """
    # A line of a name looks alike in all panels, also where one has no figures for it.
    names = list(dict.fromkeys(name for panel in panels for name in _names(panel)))
    with chart_style():
        from matplotlib.figure import Figure

        columns = min(COLUMNS, len(panels))
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).flatten()
        for place, panel in zip(places, panels, strict=False):
            if isinstance(panel, HeatMap):
                _draw_heat_map(place, panel)
            elif isinstance(panel, Bars):
                _draw_bars(place, panel, names)
            else:
                _draw_curves(place, panel, names)
        for place in places[len(panels) :]:
            place.set_visible(False)
        handles = {
            label: line for place in places for line, label in zip(*place.get_legend_handles_labels(), strict=True)
        }
        if len(handles) > 1:
            figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=min(4, len(handles)))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, buffer.getvalue())


def power_text(value: float, base: int) -> str:
    """A power as the axes show it; reports do not set formulas, which matplotlib's own labels are.

    >>> power_text(1024.0, 2), power_text(0.01, 10)
    ('2¹⁰', '10⁻²')
    """
    exponent = f"{math.log(value, base):.3g}"
    return f"{base}{exponent.translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _names(panel: Panel | HeatMap | Bars) -> list[str]:
    """What a panel's legend names, in order."""
    if isinstance(panel, HeatMap):
        return []
    return list(panel.series) if isinstance(panel, Bars) else [line.name for line in panel.series]


def _draw_bars(place: Axes, panel: Bars, names: Sequence[str]) -> None:
    """A group of bars for each place, from the top, as long as the means; a dot a seed."""
    from matplotlib import rcParams
    from matplotlib.ticker import NullFormatter, PercentFormatter

    groups = list(dict.fromkeys(group for series in panel.series.values() for group in series))
    width = 0.8 / max(1, len(panel.series))
    for number, (name, series) in enumerate(panel.series.items()):
        colour = f"C{names.index(name) % len(rcParams['axes.prop_cycle'])}"
        shown = {group: [v for v in values if math.isfinite(v)] for group, values in series.items()}
        filled = {group: values for group, values in shown.items() if values}
        ys = {group: groups.index(group) + (number - (len(panel.series) - 1) / 2) * width for group in filled}
        place.barh(
            [ys[group] for group in filled], [statistics.fmean(values) for values in filled.values()],
            0.9 * width, color=colour, alpha=0.5, label=name or None,
        )  # fmt: skip
        dots = [(value, ys[group]) for group, values in filled.items() for value in values]
        place.plot([x for x, _ in dots], [y for _, y in dots], "o", markersize=3, color=colour)
    if panel.log:
        place.set_xscale("log")
        place.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        place.xaxis.set_minor_formatter(NullFormatter())
    if panel.percent:
        place.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    place.set_yticks(range(len(groups)), groups)
    place.invert_yaxis()
    place.grid(visible=False, axis="y")
    place.grid(visible=True, axis="x")
    place.set_xlabel(panel.title)


def _draw_curves(place: Axes, panel: Panel, names: Sequence[str]) -> None:
    """A line a series, through the means of the seeds, and the seeds' range; colours and markers by all names."""
    from matplotlib import rcParams
    from matplotlib.ticker import PercentFormatter

    colours = len(rcParams["axes.prop_cycle"])
    for series in panel.series:
        round_of, number = divmod(names.index(series.name), colours)
        marker, style = MARKERS[round_of % len(MARKERS)]
        if isinstance(series, Trail):
            xs, ys = ([point[axis] for point in series.points] for axis in (0, 1))
            place.plot(xs, ys, marker=marker, linestyle=style, markersize=3, label=series.name, color=f"C{number}")
            continue
        points = [(x, [v for v in values if math.isfinite(v)]) for x, values in sorted(series.points.items())]
        points = [(x, values) for x, values in points if values]
        if not points:
            continue
        xs = [x for x, _ in points]
        place.plot(
            xs, [statistics.fmean(values) for _, values in points],
            marker=marker, linestyle=style, markersize=3, label=series.name, color=f"C{number}",
        )  # fmt: skip
        place.fill_between(
            xs, [min(v) for _, v in points], [max(v) for _, v in points], color=f"C{number}", alpha=0.15, lw=0
        )
    if panel.log_x:
        place.set_xscale("log", base=2)
        place.xaxis.set_major_formatter(lambda x, _: power_text(x, 2))
    if panel.log_y:
        place.set_yscale("log")
        place.yaxis.set_major_formatter(lambda y, _: power_text(y, 10))
    if panel.percent:
        place.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    place.set_xlabel(panel.x)
    place.set_ylabel(panel.y)


def _draw_heat_map(place: Axes, panel: HeatMap) -> None:
    """A square a pair of settings with its value, and the boundary between the pairs inside and the others."""
    xs, ys = (sorted({pair[axis] for pair in panel.values}) for axis in (0, 1))
    nan = math.nan
    limits = (0.0, 1.0) if panel.percent else (None, None)
    rows = [[panel.values.get((x, y), nan) for x in xs] for y in ys]
    image = place.imshow(rows, origin="lower", aspect="auto", vmin=limits[0], vmax=limits[1])
    place.figure.colorbar(image, ax=place, format="{x:.0%}" if panel.percent else None)
    low, high = image.get_clim()
    for (x, y), value in panel.values.items():
        if math.isfinite(value):
            text = f"{value:.0%}" if panel.percent else f"{value:.3g}"
            colour = "white" if value < (low + high) / 2 else "black"
            place.text(xs.index(x), ys.index(y), text, ha="center", va="center", fontsize=6, color=colour)
    for column, x in enumerate(xs):
        for row, y in enumerate(ys):
            here = (x, y) in panel.inside
            if column + 1 < len(xs) and here != ((xs[column + 1], y) in panel.inside):
                place.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color="red", lw=2)
            if row + 1 < len(ys) and here != ((x, ys[row + 1]) in panel.inside):
                place.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color="red", lw=2)
    place.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    place.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
    place.grid(visible=False)
    place.set_xlabel(panel.x)
    place.set_ylabel(panel.y)
    place.set_title(panel.title)
