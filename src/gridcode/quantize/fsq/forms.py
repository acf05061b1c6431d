r"""The published forms of FSQ: how a latent is bounded before it is rounded, and where its bins lie.

All of them are one curve with other constants. For each channel, with latent z and level L,

    bounded = gain · tanh(slope · z + shift) + bias       the continuous code
    code    = (digit - middle) / width                    the nearest of L evenly spaced values
    d code / d z = gain · slope · (1 - tanh²(slope · z + shift))          straight-through

    form       gain                  slope  shift           bias           middle     width
    paper      h (1 - eps) / w       1      tan(o / half)   -o / w         L // 2     w = L // 2
    atanh      h (1 + eps) / w       1      atanh(o / half) -o / w         L // 2     w = L // 2
    symmetric  1                     1      0               0              h          h
    dithered   as symmetric; in training codes are dithered (``dither.py``)
    ifsq       1                     0.8    0               0              h          h, L / 2 where L is even

with h = (L - 1) / 2, half = h (1 ∓ eps), o = 1/2 where L is even, else 0. iFSQ is published as
2 sigmoid(1.6 z) - 1 = tanh(0.8 z) with odd L. For even L this library names its own extension: the L bins
floor(L · sigmoid(1.6 z)) of equal width, each code in the middle of its bin.

**An index is defined by thresholds**, because two devices do not agree on tanh. The edge between the digits k and
k + 1 lies half way between their codes; carried back through the curve it is

    t_k = (atanh((edge_k - bias) / gain) - shift) / slope       edge_k = (k + 1/2 - middle) / width

computed in float64, and digit = how many t_k < z, strictly. The thresholds in float32 are rounded down, so that a
float32 z lies above one exactly when it lies above the other.

A form holds only where every level can be reached and none beyond: eps < 1 / (L - 1). With eps = 1e-3 that ends at
L = 1000: at 1001 the end levels of ``paper`` are exact ties, and ``atanh`` rounds beyond the codebook.

Reference: paper, section 3.1 and A.1 (paper); vector-quantize-pytorch (atanh, symmetric); Parker et al. 2024, arXiv
2411.19842 (symmetric, dithered); arXiv 2601.17124 (iFSQ).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.levels import check_levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T", bound="np.generic")

FormName = Literal["paper", "atanh", "symmetric", "ifsq", "dithered"]
FORMS: tuple[FormName, ...] = get_args(FormName)
"""All forms. State dicts record a form by its place here: new ones go to the end."""

DEFAULT_EPS = 1e-3
"""The eps of the forms that have one, ``paper`` and ``atanh``."""


@dataclass(frozen=True)
class Channel:
    """One channel's curve and grid; the module says what the constants mean.

    >>> channel = Channel(level=3, slope=1.0, shift=0.0, gain=1.0, bias=0.0, middle=1.0, width=1.0)
    >>> channel.codes, channel.thresholds.round(4)
    (array([-1.,  0.,  1.]), array([-0.5493,  0.5493]))
    """

    level: int
    slope: float
    shift: float
    gain: float
    bias: float
    middle: float
    width: float

    def edge(self, place: int) -> float:
        """The edge between the codes of the digits ``place`` and ``place + 1``, on the axis of ``bounded``."""
        return (place + 0.5 - self.middle) / self.width

    @cached_property
    def codes(self) -> NDArray[np.float64]:
        """The L values of a code, rising, float64."""
        import numpy as np

        return _frozen((np.arange(self.level, dtype=np.float64) - self.middle) / self.width)

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """The L - 1 latents t_k at the edges, rising, float64."""
        import numpy as np

        edges = (np.arange(self.level - 1, dtype=np.float64) + 0.5 - self.middle) / self.width
        return _frozen((np.arctanh((edges - self.bias) / self.gain) - self.shift) / self.slope)

    @cached_property
    def thresholds32(self) -> NDArray[np.float32]:
        """The thresholds as float32, rounded down: z > t32 exactly when z > t, for every float32 z."""
        import numpy as np

        exact = self.thresholds
        near = exact.astype(np.float32)
        return _frozen(np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near))

    def bounded(self, latents: NDArray[np.float64]) -> NDArray[np.float64]:
        """The curve, gain · tanh(slope · z + shift) + bias, for figures and tests."""
        import numpy as np

        return self.gain * np.tanh(self.slope * latents + self.shift) + self.bias


@lru_cache(maxsize=1024)
def channel(form: FormName, level: int, eps: float) -> Channel:
    """The constants of a form at one level.

    Args:
        form: Its name.
        level: L, 2 or more.
        eps: The margin of ``paper`` and ``atanh``; 0 for the others.

    Raises:
        GridcodeError: The three do not go together: a level would be lost, or a code would leave the codebook.

    >>> round(channel("paper", 8, 1e-3).shift, 5), round(channel("atanh", 8, 1e-3).shift, 5)
    (0.14398, 0.1437)
    """
    h, even = (level - 1) / 2, level % 2 == 0
    if form == "ifsq":
        made = Channel(level, 0.8, 0.0, 1.0, 0.0, h, level / 2 if even else h)
    elif form in ("symmetric", "dithered"):
        made = Channel(level, 1.0, 0.0, 1.0, 0.0, h, h)
    else:
        _check_eps(form, level, eps)
        half = h * (1 - eps if form == "paper" else 1 + eps)
        offset, w = (0.5 if even else 0.0), float(level // 2)
        shift = math.tan(offset / half) if form == "paper" else math.atanh(offset / half)
        made = Channel(level, 1.0, shift, half / w, -offset / w, w, w)
    if not all(abs((edge - made.bias) / made.gain) < 1 for edge in (made.edge(0), made.edge(level - 2))):
        raise GridcodeError(
            f"FSQ: form {form!r} with eps {eps:g} cannot tell all {level} values of a channel apart; use a smaller eps "
            "or smaller levels"
        )
    return made


@dataclass(frozen=True)
class CodeGrid:
    """A set of codes by name: levels, form and eps. Made by :func:`code_grid`; hashable.

    >>> code_grid([8, 5]).channels[1].codes
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    """

    levels: tuple[int, ...]
    form: FormName
    eps: float
    channels: tuple[Channel, ...] = field(init=False, repr=False, compare=False)
    """The constants of every channel."""

    def __post_init__(self) -> None:
        """Look the channels up once."""
        object.__setattr__(self, "channels", tuple(channel(self.form, level, self.eps) for level in self.levels))


def code_grid(levels: Sequence[int], form: FormName = "paper", eps: float | None = None) -> CodeGrid:
    """Check levels, form and eps, alone and together.

    Args:
        levels: [L_1 … L_d], 2 or more each; their product K is at most 2^63.
        form: A published form's name.
        eps: The margin of ``paper`` and ``atanh``, below 1 / (max L - 1); 1e-3 by default. Other forms have none.

    Raises:
        GridcodeError: A value is out of its range, or they do not go together; the message gives the reason.

    >>> code_grid([2000])
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: FSQ: form 'paper' with eps 0.001 loses both end values of a level of 2000: ...
    """
    if form not in FORMS:
        raise GridcodeError(f"FSQ: form is {form!r}; choose one of {', '.join(FORMS)}")
    if form not in ("paper", "atanh"):
        if eps:
            raise GridcodeError(f"FSQ: form {form!r} has no eps, got {eps!r}; leave it out")
        eps = 0.0
    levels, eps = check_levels(levels), DEFAULT_EPS if eps is None else float(eps)
    channel(form, max(levels), eps)  # the tightest bound is told first
    return CodeGrid(levels, form, eps)


def _check_eps(form: FormName, level: int, eps: float) -> None:
    limit = 1 / (level - 1)
    if not eps >= 0:  # also refuses NaN
        raise GridcodeError(f"FSQ: eps is {eps!r}; give a number in [0, {limit:.6g}), below 1 / (largest level - 1)")
    if eps >= limit:
        fate = "loses both end values" if form == "paper" else "rounds to codes outside the codebook"
        raise GridcodeError(
            f"FSQ: form {form!r} with eps {eps:g} {fate} of a level of {level}: eps must be below 1 / (L - 1) = "
            f"{limit:.6g}; use a smaller eps or smaller levels"
        )
    if form == "atanh" and eps == 0 and level == 2:
        raise GridcodeError("FSQ: form 'atanh' with eps 0 has no threshold at level 2; use eps > 0, or 'symmetric'")


def _frozen(values: NDArray[T]) -> NDArray[T]:
    values.flags.writeable = False
    return values
