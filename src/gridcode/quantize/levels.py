"""Levels: how many values each dimension of a code may take, and the books they make.

A book of levels ``[L_1 … L_d]`` holds K = L_1 · … · L_d codes. Nothing here imports torch, so that configs
and the command line can check levels at once; sizes are Python integers and never overflow.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

from gridcode.errors import GridcodeError

MAX_CODEBOOK = 2**63
"""The largest book: its last index, 2^63 - 1, is the largest int64."""

MAX_LEVEL = 2**20
"""The most values of one dimension that float32 keeps apart with certainty."""

_RECOMMENDED = {
    4: (5, 3),
    6: (8, 8),
    8: (8, 6, 5),
    9: (8, 8, 8),
    10: (8, 5, 5, 5),
    11: (8, 8, 6, 5),
    12: (7, 5, 5, 5, 5),
    14: (8, 8, 8, 6, 5),
    16: (8, 8, 8, 5, 5, 5),
}


def recommended_levels(bits: int) -> tuple[int, ...]:
    """The paper's levels for a book of about ``2**bits`` codes.

    Args:
        bits: One of 4, 6, 8, 9, 10, 11, 12, 14, 16.

    Returns:
        The levels. Their product is close to ``2**bits``, at times below it (1000 for 10 bits).

    Raises:
        GridcodeError: The paper recommends no levels for this size.

    Reference:
        Mentzer et al. 2023, Table 1 and A.4.1; for 12 bits A.4.1 prints 7,5,5,5, Table 1 and 4.4 7,5,5,5,5.

    >>> recommended_levels(10)
    (8, 5, 5, 5)
    """
    if isinstance(bits, bool) or bits not in _RECOMMENDED:
        known = ", ".join(str(size) for size in _RECOMMENDED)
        raise GridcodeError(
            f"recommended_levels: the paper has none for {bits!r} bits; choose one of {known}, or write levels out"
        )
    return _RECOMMENDED[bits]


def check_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Levels as a tuple of Python integers.

    Args:
        levels: At least one integer in [2, 2^20], with a product of at most 2^63. numpy's integers count as
            such, booleans and floats do not.

    Returns:
        The same levels.

    Raises:
        GridcodeError: They are no such sequence; the message names the entry.

    >>> check_levels([8, 5, 5, 5])
    (8, 5, 5, 5)
    >>> check_levels([8, 1])
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: levels: entry 1 is 1; every level must be an integer from 2 to 1048576
    """
    if not isinstance(levels, Iterable) or isinstance(levels, (str, bytes)):
        raise GridcodeError(f"levels: saw {levels!r}; give a sequence of integers such as [8, 5, 5, 5]")
    checked = tuple(_check_level(position, level) for position, level in enumerate(levels))
    if not checked:
        raise GridcodeError("levels: the sequence is empty; give at least one integer, such as [8, 5, 5, 5]")
    if codebook_size(checked) > MAX_CODEBOOK:
        raise GridcodeError(
            f"levels: {list(checked)} make a book of 2^{math.log2(codebook_size(checked)):.1f} codes, over "
            "2^63; its indices fit no int64, use fewer or smaller levels"
        )
    return checked


def codebook_size(levels: Sequence[int]) -> int:
    """The number of codes K, the product of the levels.

    >>> codebook_size([8, 5, 5, 5])
    1000
    """
    return math.prod(levels)


def _check_level(position: int, level: object) -> int:
    problem = f"levels: entry {position} is {level!r}; every level must be an integer from 2 to {MAX_LEVEL}"
    if isinstance(level, bool):
        raise GridcodeError(problem)
    try:
        value = operator.index(level)  # type: ignore[arg-type]  # the call is the check
    except TypeError:
        raise GridcodeError(problem) from None
    if not 2 <= value <= MAX_LEVEL:
        raise GridcodeError(problem)
    return value
