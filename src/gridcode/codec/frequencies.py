"""Probabilities as integers: what a range coder needs, in one way, on every machine.

A distribution over K codes becomes K integers, at least 1 each, whose sum is 2^24 exactly:

    f_k = 1 + floor(w_k (2^24 - K) / Σ w),     what is left to 2^24 goes to the first of the largest w

so every code can be coded, at 24 bits at most, and all that the floor of 1 costs is log2(2^24 / (2^24 - K)) bits a
token: 0.0001 for 1024 codes, 0.0055 for 64,000. Weights w are integers: counts or, of a network's logits in steps of
1/16 nat,

    w(s) = round(2^26 exp((s - s_max) / 16)),     s: logits in steps, int64

from a table that is computed in decimal arithmetic, whose result is the same on every machine. From the integers on
there is no floating point.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gridcode.errors import GridcodeError

PRECISION = 24
"""Bits of a frequency; the range coder's."""
STEPS_A_NAT = 16
"""Steps of a logit in one nat: rounding to them costs (1/16)² / 24 nats per token, 0.0002 bits."""
LARGEST_CODEBOOK = 2**20
"""Codes that can be told apart by frequencies, at most; more take a head by digits, or the coder ``raw``."""
_WEIGHT_BITS = 26
_LARGEST_COUNT = 2**38


def frequencies_of_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers with the sum 2^24 that stand to each other as counts do.

    Args:
        counts: int64 in [0, 2^38], (..., K). Where all are 0 every code is as likely.

    Returns:
        int64, at least 1, of the same shape.

    Raises:
        GridcodeError: There are too many codes, or a count is negative or too large.

    >>> frequencies_of_counts(np.array([3, 0, 1])).tolist()
    [12582911, 1, 4194304]
    """
    K = counts.shape[-1]
    if not 1 <= K <= LARGEST_CODEBOOK:
        raise GridcodeError(
            f"a range coder takes from 1 to {LARGEST_CODEBOOK:,} codes, got {K:,}; use the coder raw, or a prior whose "
            "model.head works by digits"
        )
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > _LARGEST_COUNT):
        raise GridcodeError(f"counts must lie in [0, 2^38], got {counts.min()} … {counts.max()}")
    total = counts.sum(-1, keepdims=True)
    counts, total = np.where(total == 0, 1, counts), np.where(total == 0, K, total)
    free = 2**PRECISION - K
    # counts * free would pass 2^63 for counts above 2^38.
    found: NDArray[np.int64] = counts * free // total + 1
    rest = 2**PRECISION - found.sum(-1, keepdims=True)
    largest = counts.argmax(-1)[..., None]
    np.put_along_axis(found, largest, np.take_along_axis(found, largest, -1) + rest, -1)
    return found


def frequencies_of_steps(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers with the sum 2^24 that stand to each other as exp(steps / 16) do.

    Args:
        steps: Logits in steps of 1/16 nat, int64, (..., K).

    >>> frequencies_of_steps(np.array([0, 0, -11])).tolist()          # exp(-11/16) is 0.503
    [6703295, 6703293, 3370628]
    """
    table = _weights()
    return frequencies_of_counts(table[np.minimum(steps.max(-1, keepdims=True) - steps, len(table) - 1)])


@cache
def _weights() -> NDArray[np.int64]:
    """round(2^26 exp(-n / 16)) for n = 0, 1, … until it is 0."""
    context = Context(prec=40, rounding=ROUND_HALF_EVEN)
    found: list[int] = []
    n = 0
    while not found or found[-1]:
        power = context.exp(context.divide(context.create_decimal(-n), context.create_decimal(STEPS_A_NAT)))
        found.append(int(context.multiply(power, context.create_decimal(2**_WEIGHT_BITS)).to_integral_value()))
        n += 1
    return np.array(found, np.int64)
