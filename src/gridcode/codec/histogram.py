"""How often each code occurs: the table of the coder ``static``, which is shipped with the stream.

Codes that occur, in order, as pairs of numbers: the step from the code before, and the count. Numbers are written in
base 128, the low digit first, a set upper bit meaning that more follow (LEB128).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.frequencies import LARGEST_CODEBOOK
from gridcode.codec.numbers import Numbers, number
from gridcode.errors import GridcodeError

_MOST = 2**16
"""Largest count that is written: more are scaled, which the frequencies' 24 bits hardly tell."""


def pack_counts(tokens: NDArray[np.int64], codes: int) -> bytes:
    """The table of some tokens.

    Args:
        tokens: int64 in [0, K), any shape.
        codes: K.

    Raises:
        GridcodeError: There are too many codes for a table.

    >>> pack_counts(np.array([2, 2, 7]), 8).hex()
    '02020501'
    """
    _check(codes)
    counts = np.bincount(tokens.ravel(), minlength=codes)
    most = int(counts.max(initial=0))
    if most > _MOST:
        counts = -(-counts * _MOST // most)
    parts, last = [], 0
    for code in counts.nonzero()[0].tolist():
        parts += [number(code - last), number(int(counts[code]))]
        last = code
    return b"".join(parts)


def unpack_counts(table: bytes, codes: int) -> NDArray[np.int64]:
    """Counts of all codes, int64, (K,).

    Raises:
        GridcodeError: It is no table of K codes.

    >>> unpack_counts(bytes.fromhex("02020501"), 8).tolist()
    [0, 0, 2, 0, 0, 0, 0, 1]
    """
    _check(codes)
    counts, numbers, code = np.zeros(codes, np.int64), Numbers(table, "the table of counts"), 0
    while not numbers.ended:
        code += numbers.take(most=codes - 1 - code, what="step between codes")
        counts[code] = numbers.take(least=1, most=_MOST, what="count")
    return counts


def _check(codes: int) -> None:
    if codes > LARGEST_CODEBOOK:
        raise GridcodeError(
            f"the coder static takes up to {LARGEST_CODEBOOK:,} codes, got {codes:,}; use the coder raw or prior"
        )
