"""How sure is a mean over a few seeds? Student's interval.

    mean ± t s / sqrt(n),   s^2 = sum (x - mean)^2 / (n - 1)

t is the quantile of Student's distribution with n - 1 degrees of freedom, so that 95 % of such intervals hold the true
mean where the figures are normally distributed. Two seeds give t = 12.7: an interval that wide is meant.

Reference: Student, "The probable error of a mean", 1908; Abramowitz and Stegun 1964, 26.7.5 (t from 10 degrees on).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gridcode.errors import GridcodeError

_NORMAL: Final = 1.959963985
_STUDENT: Final = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
"""The 97.5 % quantiles for 1 … 9 degrees of freedom."""


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
    return Interval(mean, _quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)), len(values))


def _quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution, to 1e-4."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + math.fsum(term / freedom ** (place + 1) for place, term in enumerate(terms))
