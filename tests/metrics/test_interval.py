from __future__ import annotations

import math

import numpy as np
import pytest

from gridcode.errors import GridcodeError
from gridcode.metrics import student_interval
from gridcode.metrics.interval import common_variance, contrast_interval, share_difference_interval


def share_within(freedom: int, quantile: float) -> float:
    """P(|T| <= quantile) of Student's distribution, from its density."""
    x = np.linspace(-quantile, quantile, 200_001)
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    return float(np.trapezoid(scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x))


@pytest.mark.parametrize("count", [2, 3, 5, 10, 11, 13, 31, 100])
def test_95_percent_are_within(count: int) -> None:
    values = list(np.random.default_rng(count).normal(3.0, 2.0, count))
    found = student_interval(values)
    assert found.half is not None
    quantile = found.half / (float(np.std(values, ddof=1)) / math.sqrt(count))
    assert share_within(count - 1, quantile) == pytest.approx(0.95, abs=1e-4)
    assert found.mean == pytest.approx(float(np.mean(values)))
    assert found.count == count


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert student_interval([2.5]) == student_interval([2.5])
    assert student_interval([2.5]).half is None
    with pytest.raises(GridcodeError, match="there is no value"):
        student_interval([])


def coverage(deviations: list[float], seeds: int) -> float:
    """How often the interval of the first two settings' difference holds the truth, of a thousand simulations."""
    draw, within = np.random.default_rng(0), 0
    for _ in range(1000):
        groups = [list(draw.normal(0, deviation, seeds)) for deviation in deviations]
        value, half = contrast_interval([(1, groups[0]), (-1, groups[1])], groups)
        within += abs(value) <= half
    return within / 1000


@pytest.mark.parametrize(
    ("deviations", "seeds", "least"),
    [
        ([1.0] * 2, 2, 0.93),
        ([1.0] * 6, 2, 0.93),
        ([1.0] * 4, 3, 0.93),
        ([10.0, 0.1, 0.1], 3, 0.92),
        ([2.0, 1.0, 0.5, 1.5, 0.7, 1.2], 2, 0.87),  # the setting that spreads most is compared
    ],
)
def test_intervals_of_settings_hold_the_truth_about_as_often_as_they_say(
    deviations: list[float], seeds: int, least: float
) -> None:
    assert least < coverage(deviations, seeds) < 0.98


def test_alike_settings_lend_each_other_their_spread_and_others_do_not() -> None:
    a, b = [1.0, 1.2], [2.0, 2.2]
    alone = contrast_interval([(1, a), (-1, b)])[1]
    alike = contrast_interval([(1, a), (-1, b)], [[5.0, 5.2], [7.0, 7.19], [9.0, 9.21], [3.0, 3.2]])[1]
    assert alike < 0.7 * alone
    # A setting that hardly varies does not make one that does seem sure.
    wild = contrast_interval([(1, [0.2, 0.9]), (-1, [2.0, 2.0001])], [[5.0, 5.0001], [7.0, 7.0001], [9.0, 9.0001]])[1]
    assert wild > 1.5


def test_single_or_infinite_values_say_nothing_of_their_spread_and_constant_ones_have_none() -> None:
    assert common_variance([[1.0], [2.0]]).freedom == 0
    assert common_variance([[1.0, math.inf], [1.0, 3.0]]).freedom == 1
    assert contrast_interval([(1, [1.0, 1.0])]) == (1.0, 0.0)
    assert contrast_interval([(1, [1.0])]) == (1.0, math.inf)
    assert contrast_interval([(1, [1.0, math.nan])])[1] == math.inf
    with pytest.raises(GridcodeError, match="at least one value"):
        contrast_interval([(1, [])])


@pytest.mark.parametrize(
    ("cases", "expected"),  # Newcombe 1998, table II, method 10
    [
        ((56, 70, 48, 80), (0.2, 0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.6, 0.1705, 0.8090)),
        ((5, 56, 0, 29), (0.0893, -0.0381, 0.1926)),
        ((0, 10, 0, 10), (0.0, -0.2775, 0.2775)),
        ((10, 10, 0, 10), (1.0, 0.6075, 1.0)),
    ],
)
def test_differences_of_shares_are_those_of_the_literature(
    cases: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    assert share_difference_interval(*cases) == pytest.approx(expected, abs=6e-5)
