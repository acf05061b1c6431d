"""What the figures of a few seeds say of a claim: differences with 95 % intervals, and answers that rest on these.

    difference(a, b, groups)     two settings that were trained apart
    paired(a, b)                 two measurements of the same trainings, in the same order
    contrast(terms, groups)      any weighted sum of settings' means
    average(values, groups)      one setting's mean, for a claim about a limit

``groups`` are the values of further settings that were trained apart from each other: their spread helps to tell that
of the two, as far as it is alike (:mod:`gridcode.metrics.interval`). Measurements of one training are no such groups:
a sampler's figures at five numbers of steps are five looks at the same few checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

from gridcode.errors import GridcodeError
from gridcode.metrics.interval import contrast_interval, share_difference_interval

Answer: TypeAlias = Literal["seen", "not seen", "opposite", "open"]
"""What a claim met: ``open`` where too few cells are done, or the interval holds both answers."""


def percent(share: float, digits: int = 0) -> str:
    """A share as a sentence shows it.

    >>> percent(0.25)
    '25 %'
    """
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Difference:
    """A difference of two means, or a mean, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on that side of zero; 0 where it holds zero."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def text(self, digits: int, *, scale: float = 1.0, unit: str = "") -> str:
        """As a sentence shows it.

        >>> Difference(0.5, 0.25, 0.75).text(2, unit=" dB")
        '+0.50 dB (95 % interval +0.25 to +0.75)'
        >>> Difference(0.5, -math.inf, math.inf).text(2)
        '+0.50 (no interval: too few seeds)'
        """
        value, low, high = (f"{scale * number:+.{digits}f}" for number in (self.value, self.low, self.high))
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{value}{unit} (no interval: too few seeds)"
        if self.low == self.high:
            return f"{value}{unit} (no seed differs)"
        return f"{value}{unit} (95 % interval {low} to {high})"

    def share_text(self) -> str:
        """As a sentence shows a share, which is never outside 0 to 1.

        >>> Difference(0.25, -0.2, 0.7).share_text()
        '25.0 % (95 % interval 0.0 to 70.0)'
        """
        if not math.isfinite(self.low):
            return f"{percent(self.value, 1)} (no interval: too few seeds)"
        if self.low == self.high:
            return f"{percent(self.value, 1)} (no seed differs)"
        low, high = max(self.low, 0), min(self.high, 1)
        return f"{percent(self.value, 1)} (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def contrast(
    terms: Sequence[tuple[float, Sequence[float]]], groups: Iterable[Sequence[float]] = (), *, comparisons: int = 1
) -> Difference:
    """A weighted sum of means over seeds, with a 95 % interval.

    Args:
        terms: A weight and the values over seeds, at least one, of settings that were trained apart.
        groups: Values over seeds of further such settings; a list that is among the terms is counted once.
        comparisons: Of how many comparisons this one was chosen by its figures: the interval is as much wider.

    Returns:
        The sum; its interval is all numbers where no setting has two seeds, and one number where no seed differs.

    >>> contrast([(0.5, [1.0, 1.2]), (0.5, [2.0, 2.2]), (-1.0, [1.6, 1.8])]).sign
    0
    """
    value, half = contrast_interval(terms, groups, comparisons=comparisons)
    return Difference(value, value - half, value + half)


def difference(
    a: Sequence[float], b: Sequence[float], groups: Iterable[Sequence[float]] = (), *, comparisons: int = 1
) -> Difference:
    """Mean of ``a`` minus mean of ``b``; see :func:`contrast`.

    >>> difference([1.0, 1.2], [2.0, 2.2]).sign
    -1
    """
    return contrast([(1.0, a), (-1.0, b)], groups, comparisons=comparisons)


def paired(a: Sequence[float], b: Sequence[float], *, comparisons: int = 1) -> Difference:
    """Mean of a - b, of measurements of the same trainings in the same order.

    Raises:
        GridcodeError: They are not as many.

    >>> paired([1.0, 5.0, 9.0], [0.0, 4.1, 7.9]).sign
    1
    """
    if len(a) != len(b):
        raise GridcodeError(f"pairs need as many values on both sides, got {len(a)} and {len(b)}")
    return contrast([(1.0, [x - y for x, y in zip(a, b, strict=True)])], comparisons=comparisons)


def average(values: Sequence[float], groups: Iterable[Sequence[float]] = (), *, comparisons: int = 1) -> Difference:
    """A mean with its interval, to be held against a limit; see :func:`contrast`.

    >>> below(average([0.1, 0.12, 0.11]), 0.5)
    'seen'
    """
    return contrast([(1.0, values)], groups, comparisons=comparisons)


def share_difference(share: float, count: int, other: float, other_count: int) -> Difference:
    """A difference of two shares of so many independent cases.

    >>> share_difference(1.0, 300, 0.99, 300).sign
    0
    """
    hits, others = round(share * count), round(other * other_count)
    return Difference(*share_difference_interval(hits, count, others, other_count))


def answered(interval: Difference, *, expected: Literal[1, -1]) -> Answer:
    """What an interval says of a claim about the sign of a difference.

    >>> answered(Difference(-1.0, -2.0, -0.5), expected=1)
    'opposite'
    """
    return {expected: "seen", -expected: "opposite", 0: "open"}[interval.sign]  # type: ignore[return-value]


def level(interval: Difference, *, margin: float) -> Answer:
    """What an interval says of a claim that a difference is small.

    Args:
        interval: The difference.
        margin: What counts as small.

    >>> level(Difference(0.1, -0.2, 0.4), margin=0.5), level(Difference(2.0, 1.0, 3.0), margin=0.5)
    ('seen', 'not seen')
    """
    if -margin < interval.low and interval.high < margin:
        return "seen"
    return "not seen" if interval.low > margin or interval.high < -margin else "open"


def below(interval: Difference, limit: float) -> Answer:
    """What an interval says of a claim that a figure is less than a limit.

    >>> below(Difference(0.1, -0.2, 0.4), 0.5), below(Difference(0.1, -0.2, 0.4), 0.3)
    ('seen', 'open')
    """
    return "seen" if interval.high < limit else "not seen" if interval.low > limit else "open"


def above(interval: Difference, limit: float) -> Answer:
    """What an interval says of a claim that a figure is more than a limit.

    >>> above(Difference(0.9, 0.8, 1.0), 0.5), above(Difference(0.4, 0.2, 0.6), 0.5)
    ('seen', 'open')
    """
    return "seen" if interval.low > limit else "not seen" if interval.high < limit else "open"


def above_everywhere(curve: Mapping[float, Sequence[float]], limit: float) -> tuple[float, Difference, Answer]:
    """Whether all places of a curve are above a limit.

    Args:
        curve: Values over seeds by x, of settings that were trained apart.
        limit: The limit.

    Returns:
        The place that says most against it, its mean with an interval, and the answer: seen where all intervals
        are above the limit; not seen where one is below, though it was chosen among all. That interval, wider by the
        choice, is given with any answer but seen.

    >>> above_everywhere({1: [0.9, 0.91], 2: [0.6, 0.61]}, 0.5)[::2]
    (2, 'seen')
    """
    means = {place: average(values, curve.values()) for place, values in curve.items()}
    lowest = min(means, key=lambda place: (means[place].low, means[place].value))
    if means[lowest].low > limit:
        return lowest, means[lowest], "seen"
    chosen = {place: average(values, curve.values(), comparisons=len(curve)) for place, values in curve.items()}
    under = [place for place, mean in chosen.items() if mean.high < limit]
    lowest = min(under or chosen, key=lambda place: chosen[place].value)
    return lowest, chosen[lowest], "not seen" if under else "open"


def least_inside(
    curve: Iterable[tuple[float, Sequence[float]]], *, same_trainings: bool = False
) -> tuple[float, Difference] | None:
    """Whether a curve has its least place before its end.

    Args:
        curve: Values over seeds by x, in order.
        same_trainings: Whether all places are measurements of the same trainings, in the same order.

    Returns:
        The place of the least mean before the last, and the last's figure minus that one's: positive where the curve
        rises again. The interval allows for the choice of the place. None of fewer than two places.

    >>> least_inside([(1, [3.0, 3.1]), (2, [1.0, 1.1]), (3, [2.0, 2.1])])[0]
    2
    """
    *earlier, (_, last) = list(curve)
    if not earlier:
        return None
    place, least = min(earlier, key=lambda point: fmean(point[1]))
    if same_trainings:
        return place, paired(last, least, comparisons=len(earlier))
    return place, difference(last, least, [values for _, values in earlier], comparisons=len(earlier))
