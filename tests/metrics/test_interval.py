from __future__ import annotations

import math

import numpy as np
import pytest

from gridcode.errors import GridcodeError
from gridcode.metrics import student_interval


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
