"""How sure is a mean over a few seeds? Student's interval.

    mean ± t s / sqrt(n),   s^2 = sum (x - mean)^2 / (n - 1)

t is the quantile of Student's distribution with n - 1 degrees of freedom, so that 95 % of such intervals hold the true
mean where the figures are normally distributed. Two seeds give t = 12.7: an interval that wide is meant.

Reference: Student, "The probable error of a mean", 1908.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval, ``mean ± half``.

    Attributes:
        mean: Of the values.
        half: Half the interval's width; None of a single value.
        count: Number of values.
    """

    mean: float
    half: float | None
    count: int


def student_interval(values: Sequence[float]) -> Interval:
    """The mean of values and its 95 % interval.

    Args:
        values: One for each seed, at least one.

    Raises:
        GridcodeError: There is no value.

    >>> interval = student_interval([1.0, 2.0, 3.0])
    >>> interval.mean, round(interval.half, 3)
    (2.0, 2.484)
    """
    if not values:
        raise GridcodeError("interval: there is no value; give one for each seed")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Interval(mean, None, 1)
    return Interval(
        mean, student_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)), len(values)
    )


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution: half a 95 % interval, in standard errors.

    >>> round(student_quantile(1), 3)
    12.706
    """
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
