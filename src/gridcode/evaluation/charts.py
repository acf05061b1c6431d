"""What a chart shows: named curves on one pair of axes, and how often each code was used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Curve:
    """A named line of (step, value) points; values that are not finite are left out.

    >>> Curve("train", [(0, 1.0), (10, 0.5)]).name
    'train'
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step, an alarm say: an upright line across the chart.

    >>> Mark(300, "usage falling").text
    'usage falling'
    """

    step: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Curves on one pair of axes. The value axis is logarithmic where the values span a factor of 30 or more.

    >>> Chart("Stage I", [Curve("train", [(0, 1.0)])], y="loss (nats)").x
    'step'
    """

    title: str
    curves: Sequence[Curve]
    x: str = "step"
    y: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class CodeUsage:
    """How often each code was used.

    Attributes:
        counts: Uses of every code that was used, most used first, (used,) int64.
        codebook_size: K.
        digits: For each channel the uses of its digits 0 .. L_i - 1, (L_i,) int64 each; may be left out, as it is for
            a book without digits.
    """

    counts: NDArray[np.int64]
    codebook_size: int
    digits: tuple[NDArray[np.int64], ...] = ()

    @property
    def tokens(self) -> int:
        """Number of tokens counted."""
        return int(self.counts.sum())

    @staticmethod
    def from_indices(indices: ArrayLike, levels: Sequence[int]) -> CodeUsage:
        """Count tokens.

        Args:
            indices: Integers in [0, K), any shape, at least one.
            levels: L_1 ... L_d; digit 0 changes fastest. One level alone is a book without digits: ranks say it all.

        >>> CodeUsage.from_indices([0, 0, 5], (2, 3)).digits
        (array([2, 1]), array([2, 0, 1]))
        """
        codes, counts = np.unique(np.asarray(indices, dtype=np.int64), return_counts=True)
        size = math.prod(levels)
        if not len(codes) or codes[0] < 0 or codes[-1] >= size:
            seen = f"{codes[0]} to {codes[-1]}" if len(codes) else "none"
            raise GridcodeError(f"code usage: needs indices from 0 to {size - 1} (levels {tuple(levels)}), got {seen}")
        digits = []
        for level in levels if len(levels) > 1 else ():
            digits.append(np.bincount(codes % level, weights=counts, minlength=level).astype(np.int64))
            codes = codes // level
        return CodeUsage(np.sort(counts)[::-1].astype(np.int64), size, tuple(digits))
