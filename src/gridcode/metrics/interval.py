"""How sure is a mean over a few seeds? Student's intervals, and those of settings that lend each other their spread.

    mean ± t s / sqrt(n),   s^2 = sum (x - mean)^2 / (n - 1)

t is the quantile of Student's distribution with n - 1 degrees of freedom, so that 95 % of such intervals hold the true
mean where the figures are normally distributed. Two seeds give t = 12.7: an interval that wide is meant.

Many settings of two seeds each say more together. The variance of each is drawn towards what all have in common, the
more so the more alike they are (an empirical Bayes estimate: log s^2 spreads by trigamma(d / 2) where all variances are
equal, and d0 says how much farther they are apart):

    s~_g^2 = (w s0^2 + d_g s_g^2) / (w + d_g)        with w + d_g degrees of freedom, at most sum d_g
    w = min(d0, sum d_g) / 3

d0 is infinite where the variances differ no more than chance has it, and small where they do: then each setting has
nearly its own, as in Welch's test. With w = d0, as limma has it for thousands of genes, the intervals of a few settings
held the truth in 82 to 93 of 100 simulations; with a third in 89 to 96, and are 8 % wider where all spread alike.

References:
    Student, "The probable error of a mean", 1908. Welch, "The generalization of Student's problem", 1947.
    Smyth, "Linear models and empirical Bayes methods for assessing differential expression", 2004 (limma).
    Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True)
class CommonVariance:
    """What groups' variances have in common.

    Attributes:
        prior: s0^2, towards which each is drawn.
        weight: w, how many degrees of freedom that counts for; 0 where nothing is common.
        freedom: Degrees of freedom of all groups together.
    """

    prior: float
    weight: float
    freedom: int

    def of(self, values: Sequence[float]) -> tuple[float, float]:
        """A group's variance, drawn towards the common one, and its degrees of freedom; 0 where nothing is known."""
        own = len(values) - 1
        freedom = min(own + self.weight, self.freedom)
        if not freedom:
            return math.nan, 0.0
        squares = own * statistics.variance(values) if own else 0.0
        return (self.weight * self.prior + squares) / (self.weight + own), freedom


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


def student_quantile(freedom: float, *, comparisons: int = 1) -> float:
    """The 97.5 % quantile of Student's distribution: half a 95 % interval, in standard errors.

    Args:
        freedom: Degrees of freedom, above 0.
        comparisons: Of how many comparisons the most striking is told; the interval is as much wider (Bonferroni).

    >>> round(student_quantile(1), 3), round(student_quantile(10, comparisons=5), 3)
    (12.706, 3.169)
    """
    from scipy.stats import t

    return float(t.ppf(1 - 0.025 / comparisons, freedom))


def common_variance(groups: Iterable[Sequence[float]]) -> CommonVariance:
    """What the variances of groups have in common; groups of one value, or with one that is not finite, say nothing.

    >>> common_variance([[1.0, 3.0], [10.0, 12.0]])
    CommonVariance(prior=2.0, weight=0.6666666666666666, freedom=2)
    """
    from scipy.special import digamma, polygamma

    told = [group for group in groups if len(group) > 1 and all(map(math.isfinite, group))]
    if not told:
        return CommonVariance(math.nan, 0.0, 0)
    freedoms = [len(group) - 1 for group in told]
    variances = [statistics.variance(group) for group in told]
    freedom = sum(freedoms)
    pooled = sum(own * variance for own, variance in zip(freedoms, variances, strict=True)) / freedom
    middle = statistics.median(variances)
    if not pooled or len(told) == 1:
        return CommonVariance(pooled, freedom / 3, freedom)
    if not middle:  # most groups do not vary at all, and say nothing of those that do
        return CommonVariance(0.0, 0.0, freedom)
    logs = [
        math.log(max(variance, 1e-5 * middle)) - digamma(own / 2) + math.log(own / 2)
        for own, variance in zip(freedoms, variances, strict=True)
    ]
    beyond_chance = statistics.variance(logs) - statistics.fmean(float(polygamma(1, own / 2)) for own in freedoms)
    if beyond_chance <= 0:
        return CommonVariance(pooled, freedom / 3, freedom)
    estimate = 2 * _inverse_trigamma(beyond_chance)
    prior = math.exp(statistics.fmean(logs) + digamma(estimate / 2) - math.log(estimate / 2))
    return CommonVariance(prior, min(estimate, freedom) / 3, freedom)


def _inverse_trigamma(value: float) -> float:
    """The x > 0 whose trigamma function has a value."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # 1/x + 1/(2 x²) < trigamma(x) < 1/x + 1/x², so the root lies between these.
    low, high = (1 / value, (1 + math.sqrt(1 + 4 * value)) / (2 * value))
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low / 2, 2 * high))


def contrast_interval(
    terms: Sequence[tuple[float, Sequence[float]]],
    groups: Iterable[Sequence[float]] = (),
    *,
    comparisons: int = 1,
) -> tuple[float, float]:
    """A weighted sum of means and half of its 95 % interval.

    Args:
        terms: A weight and the values over seeds of each; independent of each other.
        groups: Values over seeds of settings that may spread alike; a list that is among the terms is counted once.
        comparisons: As for :func:`student_quantile`.

    Returns:
        The sum; half its interval, infinite where no setting has two seeds, 0 where no seed differs from another.

    >>> value, half = contrast_interval([(1.0, [2.0, 3.0]), (-1.0, [0.0, 1.0])])
    >>> value, round(half, 2)
    (2.0, 3.04)
    """
    if not terms or not all(values for _, values in terms):
        raise GridcodeError("a contrast needs at least one value on all sides")
    value = sum(weight * statistics.fmean(values) for weight, values in terms)
    common = common_variance({id(group): group for group in (*(values for _, values in terms), *groups)}.values())
    spread, squared = 0.0, 0.0
    for weight, values in terms:
        variance, freedom = common.of(values)
        if not freedom or not math.isfinite(variance):
            return value, math.inf
        part = weight**2 * variance / len(values)
        spread += part
        squared += part**2 / freedom
    largest = max(abs(number) for _, values in terms for number in values)
    if not math.isfinite(value):
        return value, math.inf
    if math.sqrt(spread) <= 1e-12 * largest:
        return value, 0.0
    freedom = min(spread**2 / squared, common.freedom)
    return value, student_quantile(freedom, comparisons=comparisons) * math.sqrt(spread)


def share_difference_interval(hits: int, count: int, other_hits: int, other_count: int) -> tuple[float, float, float]:
    """A difference of two shares of independent cases and its 95 % interval (Newcombe's, from Wilson's of each share).

    Args:
        hits: Cases that count, of the first.
        count: All cases of the first, at least one.
        other_hits: Likewise of the second.
        other_count: Likewise.

    Returns:
        The difference, and the interval's ends.

    >>> [round(number, 4) for number in share_difference_interval(56, 70, 48, 80)]
    [0.2, 0.0524, 0.3339]
    """
    from scipy.stats import binomtest

    a, b = hits / count, other_hits / other_count
    low_a, high_a = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    low_b, high_b = binomtest(other_hits, other_count).proportion_ci(0.95, method="wilson")
    low = a - b - math.hypot(a - low_a, high_b - b)
    high = a - b + math.hypot(high_a - a, b - low_b)
    return a - b, float(low), float(high)
