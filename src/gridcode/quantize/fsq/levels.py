"""Levels: how many values each dimension of a code may take, and the codebooks they make.

A codebook of levels ``[L_1 … L_d]`` holds K = L_1 · … · L_d codes. Nothing here imports torch, so that configs
and the command line can check levels at once; sizes are Python integers and never overflow.

Which levels for a codebook of about 2^bits codes? The paper's heuristic is L >= 5 (A.4.1), and its own choices have few
different levels, all of them close together. :func:`level_candidates` lists such sets.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from gridcode.errors import GridcodeError

MAX_CODEBOOK = 2**63
"""The largest codebook: its last index, 2^63 - 1, is the largest int64."""

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
    """The paper's levels for a codebook of about ``2**bits`` codes.

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
            f"levels: {list(checked)} make a codebook of 2^{math.log2(codebook_size(checked)):.1f} codes, over "
            "2^63; its indices fit no int64, use fewer or smaller levels, or codebooks side by side: GroupedFSQ"
        )
    return checked


def codebook_size(levels: Sequence[int]) -> int:
    """The number of codes K, the product of the levels.

    >>> codebook_size([8, 5, 5, 5])
    1000
    """
    return math.prod(levels)


@dataclass(frozen=True)
class LevelSet:
    """Levels that somebody may choose.

    Attributes:
        levels: L_1 … L_d, the largest first.
        target: The bits that were wanted.
        notes: Why they stand out: "paper, Table 1", "exact power of two", "fewest channels".

    >>> LevelSet((8, 5, 5, 5), target=10).size, round(LevelSet((8, 5, 5, 5), target=10).off, 4)
    (1000, -0.0234)
    """

    levels: tuple[int, ...]
    target: int
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """K, the product of the levels."""
        return codebook_size(self.levels)

    @property
    def bits(self) -> float:
        """log2 K, what a token costs at most."""
        return math.log2(self.size)

    @property
    def off(self) -> float:
        """K / 2^target - 1, how far the codebook is from the one wished for."""
        target: int = 2**self.target
        return (self.size - target) / target


def level_candidates(
    bits: int,
    *,
    min_level: int = 5,
    max_level: int = 16,
    channels: int | None = None,
    tolerance: float = 0.1,
    count: int = 10,
) -> tuple[LevelSet, ...]:
    """Level sets for a codebook of about ``2**bits`` codes.

    The paper's own set comes first, where it has one; then the best set of exactly ``2**bits`` codes and the best
    of those with the fewest channels; then the others in their order. Best is, one after another: a size within
    2.5 %, 5 %, 7.5 % … of ``2**bits``; levels that are alike (the largest over the smallest); few channels; the
    nearest size; the smaller codebook. Sets of more than three different levels are left out.

    Args:
        bits: From 1 to 63.
        min_level: The smallest level, from 2; the paper finds levels under 5 worse (Fig. 10). Its own sets are
            listed even where they have one.
        max_level: The largest level, to 32.
        channels: The number of levels; any by default.
        tolerance: How far the size may be from ``2**bits``, as a share of it, in (0, 1).
        count: Sets at most.

    Raises:
        GridcodeError: A setting is out of its range, or no set fits.

    Reference:
        Mentzer et al. 2023, section 4.1, Table 1, A.4.1 and Fig. 10.

    >>> [found.levels for found in level_candidates(10, count=4)]
    [(8, 5, 5, 5), (16, 8, 8), (10, 10, 10), (13, 10, 8)]
    """
    _check_search(bits, min_level, max_level, channels, tolerance, count)
    found = sorted(_level_sets(bits, min_level, max_level, channels, tolerance), key=_preference)
    first: list[LevelSet] = []
    if bits in _RECOMMENDED and channels in (None, len(_RECOMMENDED[bits])):
        first.append(LevelSet(_RECOMMENDED[bits], bits, ("paper, Table 1",)))
    if not first and not found:
        raise GridcodeError(
            f"no {'' if channels is None else f'{channels} '}levels from {min_level} to {max_level} make a codebook "
            f"within {tolerance:.1%} of 2^{bits} codes; allow smaller or larger levels, or a wider tolerance"
        )
    exact = next((each for each in found if each.size == 2**bits), None)
    fewest = min(found, key=lambda each: len(each.levels), default=None)
    chosen = {each.levels: each for each in first}
    for each, note in ((exact, "exact power of two"), (fewest, "fewest channels")):
        if each is not None:
            known = chosen.get(each.levels, each)
            chosen[each.levels] = replace(known, notes=(*known.notes, note))
    for each in found:
        chosen.setdefault(each.levels, each)
    return tuple(chosen.values())[:count]


def _preference(found: LevelSet) -> tuple[object, ...]:
    """Small is good; see :func:`level_candidates`."""
    off = abs(found.size - 2**found.target)
    nearness = max(1, -(-off * 40 // 2**found.target))  # in steps of 1/40, rounded up
    alike = found.levels[0] / found.levels[-1]
    return nearness, alike, len(found.levels), off, found.size, found.levels


def _level_sets(bits: int, least: int, most: int, channels: int | None, tolerance: float) -> Iterator[LevelSet]:
    """Every set of at most three different levels whose product is within the tolerance of 2^bits, each once."""
    low = math.ceil(2**bits * (1 - tolerance))
    high = min(math.floor(2**bits * (1 + tolerance)), MAX_CODEBOOK)
    for different in (1, 2, 3):
        for values in combinations(range(most, least - 1, -1), different):
            for levels in _powers(values, (), low, high):
                if channels in (None, len(levels)):
                    yield LevelSet(levels, bits)


def _powers(values: tuple[int, ...], taken: tuple[int, ...], low: int, high: int) -> Iterator[tuple[int, ...]]:
    """``taken`` followed by each value once or more, with a product of the new ones in [low, high]."""
    value, *rest = values
    power, size = 1, value
    while size <= high:
        levels = taken + (value,) * power
        if rest:
            yield from _powers(tuple(rest), levels, -(-low // size), high // size)
        elif size >= low:
            yield levels
        power, size = power + 1, size * value


def _check_search(
    bits: int, min_level: int, max_level: int, channels: int | None, tolerance: float, count: int
) -> None:
    if not 1 <= bits <= 63:
        raise GridcodeError(f"bits is {bits}; it must be from 1 to 63, so that an index fits int64")
    if not 2 <= min_level <= max_level <= 32:
        raise GridcodeError(
            f"the smallest level is {min_level} and the largest {max_level}; they must be from 2 to 32, in order"
        )
    if channels is not None and not 1 <= channels <= 63:
        raise GridcodeError(f"channels is {channels}; it must be from 1 to 63")
    if not 0 < tolerance < 1:
        raise GridcodeError(f"the tolerance is {tolerance:g}; it must be between 0 and 1")
    if count < 1:
        raise GridcodeError(f"count is {count}; it must be 1 or more")


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
