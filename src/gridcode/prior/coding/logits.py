r"""Logits as integers that are the same wherever they are computed.

Floating-point sums depend on their order, and with it on the number of threads, the processor's instructions, the
library and the batch: two machines' logits of the same tokens differ by noise. So logits are rounded down to steps of
1/16 nat before anything is made of them,

    s = floor(16 l + o / 8),        o = 0 … 7, by default 0

and differ only where noise carries one over a step. Where a logit l lies nearer than a margin m to a step, the encoder,
which sees every logit that the decoder will see, takes another offset o for that token, and sends it: o = 0 has all but
2^-17 of the probability, so that it costs 0.00001 bits per token, and another o 20 bits. So any machine whose noise is
below m decodes the same tokens, and what goes beyond is found by the checksum of the tokens.

What makes that cheap is float64. Between instruction sets and libraries its noise was at most 2e-14 nats where it was
measured, so m = 2^-30 = 1e-9 leaves a factor of 50,000, and the chance that a logit needs another offset is 2 · 16 m =
3e-8: one token in 30,000 for 1000 codes. In float32 noise is 1e-5: with a margin of four times that and steps of 1/4
nat, every fourth token of 1000 codes would need another offset. ``LOG.md`` has the figures.

Reference: Ballé et al., "Integer Networks for Data Compression with Latent-Variable Models", 2019, for the problem;
they train networks of integers instead.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.frequencies import PRECISION, STEPS_A_NAT
from gridcode.errors import GridcodeError

MARGIN: Final = 2.0**-30
"""Nats that two machines' logits may differ by."""
OFFSETS: Final = 8
OFFSET_FREQUENCIES: Final = np.array([2**PRECISION - (OFFSETS - 1) * 16, *[16] * (OFFSETS - 1)], np.int64)
"""Of each offset, with the sum 2^24."""
_LARGEST = 2.0**40


def as_steps(logits: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Logits in steps of 1/16 nat.

    Args:
        logits: (M, L), float64.
        offsets: int64 in [0, 8), (M,).

    Raises:
        GridcodeError: A logit is not finite.

    >>> as_steps(np.array([[0.13, -0.13]]), np.array([0])), as_steps(np.array([[0.13, -0.13]]), np.array([7]))
    (array([[ 2, -3]]), array([[ 2, -2]]))
    """
    _check_finite(logits)
    # What is farther down is as impossible.
    scaled = np.clip(logits * STEPS_A_NAT, -_LARGEST, _LARGEST)
    steps: NDArray[np.int64] = np.floor(scaled + offsets[:, None] / OFFSETS).astype(np.int64)
    return steps


def safe_offsets(logits: NDArray[np.float64], margin: float = MARGIN) -> NDArray[np.int64]:
    """For each token the first offset with which none of its logits lies within the margin of a step.

    Args:
        logits: (M, L), float64.
        margin: In nats.

    Returns:
        int64 in [0, 8), (M,); the one whose nearest logit is the farthest, where none is safe.

    Raises:
        GridcodeError: A logit is not finite.

    >>> safe_offsets(np.array([[0.03, 0.04], [0.03, 1 / 16 - 1e-10]])).tolist()
    [0, 1]
    """
    _check_finite(logits)
    found = np.zeros(len(logits), np.int64)
    near = _distance(logits, 0) < margin
    if near.any():
        rows = near.nonzero()[0]
        distances = np.stack([_distance(logits[rows], offset) for offset in range(OFFSETS)])
        safe = distances >= margin
        found[rows] = np.where(safe.any(0), safe.argmax(0), distances.argmax(0))
    return found


def _check_finite(logits: NDArray[np.float64]) -> None:
    if not np.isfinite(logits).all():
        raise GridcodeError("the prior's logits are not finite: its weights are damaged, or its training diverged")


def _distance(logits: NDArray[np.float64], offset: int) -> NDArray[np.float64]:
    """Nats from each token's nearest logit to a step, (M,)."""
    scaled = logits * STEPS_A_NAT + offset / OFFSETS
    distance: NDArray[np.float64] = np.abs(scaled - np.round(scaled)).min(-1) / STEPS_A_NAT
    return distance
