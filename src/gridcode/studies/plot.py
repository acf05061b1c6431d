"""A study's plot, in the style of the paper's figures: one panel a measure, the mean of the seeds and their range."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from gridcode.evaluation.charts import chart_style
from gridcode.files import write_text
from gridcode.studies.summary import Panel

COLUMNS = 2
"""Panels side by side, at most."""


def save_plot(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels and write them as SVG.

    Args:
        panels: At least one.
        path: The file.
    """
    with chart_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter

        columns = min(COLUMNS, len(panels))
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).flatten()
        for place, panel in zip(places, panels, strict=False):
            for number, series in enumerate(panel.series):
                points = [(x, [v for v in values if math.isfinite(v)]) for x, values in sorted(series.points.items())]
                points = [(x, values) for x, values in points if values]
                if not points:
                    continue
                xs = [x for x, _ in points]
                place.plot(
                    xs, [statistics.fmean(values) for _, values in points],
                    marker="o", markersize=3, label=series.name, color=f"C{number}",
                )  # fmt: skip
                place.fill_between(
                    xs, [min(v) for _, v in points], [max(v) for _, v in points], color=f"C{number}", alpha=0.15, lw=0
                )
            if panel.log_x:
                place.set_xscale("log", base=2)
            if panel.log_y:
                place.set_yscale("log")
            if panel.percent:
                place.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            place.set_xlabel(panel.x)
            place.set_ylabel(panel.y)
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
