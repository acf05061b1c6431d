from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.evaluation import Chart, CodeUsage, Curve, Mark
from gridcode.evaluation.charts import draw_chart, draw_digits, rank_chart

values = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


def drawn(*curves: Curve, marks: tuple[Mark, ...] = ()) -> str:
    svg = draw_chart(Chart("Loss", curves, y="loss (nats)", marks=marks))
    assert svg is not None
    return svg


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def lines(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """The points of the curves of a colour, without the sample in the legend."""
    paths = re.findall(rf'<path d="([^"]*)" clip-path[^>]*var\({colour}\)', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)] for path in paths]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=20))
def test_any_finite_points_can_be_drawn(points: list[tuple[float, float]]) -> None:
    assert {"step", "loss (nats)"} <= set(texts(drawn(Curve("train", points))))


def test_the_same_chart_is_the_same_bytes_and_says_nothing_of_its_maker() -> None:
    curve = Curve("train", [(0, 1.0), (10, 0.5)])
    assert drawn(curve) == drawn(curve)
    assert "metadata" not in drawn(curve)
    assert drawn(curve).startswith("<svg")


def test_points_are_placed_in_proportion_and_over_decades_by_their_logarithm() -> None:
    for ends in ((1.0, 2.0, 3.0), (1.0, 10.0, 100.0)):
        ((_, y0), (_, y1), (_, y2)) = lines(drawn(Curve("train", list(enumerate(ends)))), "--c0")[0]
        assert y0 - y1 == pytest.approx(y1 - y2, rel=1e-3)
        assert y0 > y2
    assert {"1", "10", "100"} <= set(texts(drawn(Curve("train", [(0, 1.0), (1, 100.0)]))))


def test_long_curves_are_averaged_and_keep_their_last_point() -> None:
    points = [(float(step), 1.0 + (step % 2)) for step in range(10_000)]
    svg = drawn(Curve("train", points), Curve("end", [(0.0, 2.0), (9_999.0, 2.0)]))
    saw, end = lines(svg, "--c0")[0], lines(svg, "--c1")[0]
    assert len(saw) <= 241
    assert saw[-1] == pytest.approx(end[-1])


def test_values_that_are_not_finite_are_left_out() -> None:
    svg = drawn(Curve("train", [(0, math.nan), (1, 1.0), (2, math.inf), (3, 2.0)]), Curve("none", []))
    assert len(lines(svg, "--c0")[0]) == 2
    assert "none" not in texts(svg)
    assert draw_chart(Chart("Loss", [Curve("train", [(0, math.nan)])])) is None


def test_marks_are_named_at_their_step_and_names_are_not_formulas() -> None:
    curve = Curve("cost in $", [(100, 1.0), (200, 0.5)])
    svg = drawn(curve, Curve("$x^2$", [(100, 2.0)]), marks=(Mark(0, "<b>"), Mark(150, "late")))
    assert {"cost in $", "$x^2$", " late at step 150", " <b> at step 0"} <= set(texts(svg))
    assert svg.count("stroke: var(--warn)") == 2


@pytest.mark.parametrize(("last", "value"), [(960_000, 1.0), (9_523_810, 123_456.0), (10, -4e-7), (1, 0.001234)])
def test_labels_of_ticks_are_within_the_image(last: int, value: float) -> None:
    svg = drawn(Curve("train", [(0, value), (last, 1.001 * value)]))
    labels = [element for element in ElementTree.fromstring(svg).iter() if "rotate(-0 " in element.get("transform", "")]
    assert len(labels) > 4
    for label in labels:
        style, text = label.get("style", ""), label.text or ""
        width, x = 5.73 * len(text), float(label.get("x", "nan"))
        left = x - (width / 2 if "text-anchor: middle" in style else width)
        assert 0 <= left < left + width <= 388.8, text


def test_the_rank_chart_shows_the_unused_part_of_the_book() -> None:
    svg = draw_chart(rank_chart(CodeUsage.from_indices(np.arange(10), (8, 8))))
    assert svg is not None
    used, even = lines(svg, "--c0")[0], lines(svg, "--c1")[0]
    assert used[0][0] == even[0][0]
    assert used[-1][0] < even[-1][0]
    assert draw_chart(rank_chart(CodeUsage(np.zeros(0, np.int64), 64))) is None


def test_digits_have_a_panel_a_channel() -> None:
    svg = draw_digits(CodeUsage.from_indices(np.arange(2**8), (2,) * 8))
    assert svg is not None
    assert [text for text in texts(svg) if text.startswith("channel")] == [f"channel {n}" for n in range(1, 9)]
    assert draw_digits(CodeUsage.from_indices([0, 1], (4,))) is None


def test_digits_are_mixed_radix_with_the_first_fastest() -> None:
    levels = (3, 2, 4)
    every = np.arange(24).reshape(2, 12)
    usage = CodeUsage.from_indices(every, levels)
    assert usage.codebook_size == usage.tokens == 24
    assert [digit.tolist() for digit in usage.digits] == [[8] * 3, [12] * 2, [6] * 4]
    one = CodeUsage.from_indices([1 + 3 * (0 + 2 * 3)], levels)
    assert [int(digit.argmax()) for digit in one.digits] == [1, 0, 3]


def test_a_book_without_digits_shows_none() -> None:
    usage = CodeUsage.from_indices([5, 5, 0], (9,))
    assert (usage.codebook_size, usage.tokens, usage.digits) == (9, 3, ())


def test_counts_are_those_of_used_codes_most_used_first() -> None:
    usage = CodeUsage.from_indices([5, 5, 5, 0, 2, 2], (3, 2))
    assert usage.counts.tolist() == [3, 2, 1]


@pytest.mark.parametrize(("indices", "seen"), [([6], "6 to 6"), ([-1, 3], "-1 to 3"), ([], "none")])
def test_indices_outside_the_codebook_are_refused(indices: list[int], seen: str) -> None:
    with pytest.raises(GridcodeError, match=f"from 0 to 5 .* got {seen}"):
        CodeUsage.from_indices(indices, (3, 2))
