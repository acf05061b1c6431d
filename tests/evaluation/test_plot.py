from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.evaluation import Chart, CodeUsage, Curve, Mark
from gridcode.evaluation.plot import HEIGHT, WIDTH, Plot, lay_out, rank_chart


def places(path: str) -> list[tuple[float, float]]:
    numbers = [float(text) for text in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def laid_out(*curves: Curve) -> Plot:
    plot = lay_out(Chart("Loss", curves))
    assert plot is not None
    return plot


values = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=40))
def test_everything_drawn_lies_inside_the_box(points: list[tuple[float, float]]) -> None:
    plot = laid_out(Curve("train", points))
    drawn = [place for trace in plot.traces for place in places(trace.path)]
    for x, y in drawn:
        assert plot.left - 0.01 <= x <= plot.right + 0.01
        assert plot.top - 0.01 <= y <= plot.bottom + 0.01
    assert all(0 <= tick.at <= WIDTH for tick in plot.x_ticks)
    assert all(0 <= tick.at <= HEIGHT for tick in plot.y_ticks)
    assert 1 <= len(plot.y_ticks) <= 14


def test_points_are_placed_in_proportion() -> None:
    plot = laid_out(Curve("train", [(0, 1.0), (50, 2.0), (100, 3.0)]))
    (x0, y0), (x1, y1), (x2, y2) = places(plot.traces[0].path)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert y0 > y2


def test_values_over_decades_get_a_logarithmic_axis() -> None:
    plot = laid_out(Curve("train", [(0, 100.0), (50, 10.0), (100, 1.0)]))
    (_, y0), (_, y1), (_, y2) = places(plot.traces[0].path)
    assert y1 - y0 == pytest.approx(y2 - y1)
    assert {"1", "10", "100"} <= {tick.label for tick in plot.y_ticks}


def test_long_curves_are_averaged_and_keep_their_last_point() -> None:
    points = [(float(step), 1.0 + (step % 2)) for step in range(10_000)]
    plot = laid_out(Curve("train", points), Curve("end", [(9_999.0, 2.0)]))
    drawn = places(plot.traces[0].path)
    assert len(drawn) <= 241
    assert plot.traces[0].end == plot.traces[1].end
    middle = [y for _, y in drawn[1:-1]]
    assert max(middle) - min(middle) < 10  # the saw is averaged away


def test_values_that_are_not_finite_are_left_out() -> None:
    plot = laid_out(Curve("train", [(0, math.nan), (1, 1.0), (2, math.inf), (3, 2.0)]), Curve("none", []))
    assert len(plot.traces) == 1
    assert len(places(plot.traces[0].path)) == 2
    assert lay_out(Chart("Loss", [Curve("train", [(0, math.nan)])])) is None


def test_hover_names_every_curve_at_its_nearest_step() -> None:
    plot = laid_out(Curve("train", [(0, 4.0), (10, 3.0), (20, 2.0)]), Curve("validation", [(20, 2.5)]))
    assert plot.hovers[-1].text == "train: 2 at 20\nvalidation: 2.5 at 20"
    assert sum(hover.width for hover in plot.hovers) == pytest.approx(plot.right - plot.left, abs=0.1)


def test_rank_chart_shows_the_unused_part_of_the_book() -> None:
    plot = rank_chart(CodeUsage.from_indices(np.arange(10), (8, 8)))
    assert plot is not None
    used, even = plot.traces
    assert used.end[0] < even.end[0] == plot.right
    assert rank_chart(CodeUsage(np.zeros(0, np.int64), 64)) is None


def test_marks_lie_at_their_step_even_before_the_first_point() -> None:
    curve = Curve("train", [(100, 1.0), (200, 0.5)])
    plot = lay_out(Chart("Loss", [curve], marks=[Mark(0, "early"), Mark(150, "late"), Mark(200, "end")]))
    assert plot is not None
    early, late, end = plot.flags
    assert (early.at, end.at) == (plot.left, plot.right)
    assert late.at == pytest.approx(plot.left + 0.75 * (plot.right - plot.left), abs=0.01)
    assert late.mark == Mark(150, "late")
    assert plot.traces[0].end[0] == end.at
