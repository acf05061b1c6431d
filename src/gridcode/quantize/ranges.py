"""The ranges that quantizers' settings are checked against. No torch here: configs use it too."""

from __future__ import annotations

import math

from gridcode.errors import GridcodeError


def check_weight(part: str, name: str, value: float) -> None:
    """Refuse a loss's weight that is no finite number of at least 0.

    >>> check_weight("ByLoss", "commitment", -1.0)
    Traceback (most recent call last):
    ...
    gridcode.errors.GridcodeError: ByLoss: commitment is -1.0; a loss's weight must be 0 or more
    """
    if not _number(value) or not 0 <= value < math.inf:
        raise GridcodeError(f"{part}: {name} is {value!r}; a loss's weight must be 0 or more")


def check_positive(part: str, name: str, value: float) -> None:
    """Refuse what is no finite number above 0."""
    if not _number(value) or not 0 < value < math.inf:
        raise GridcodeError(f"{part}: {name} is {value!r}; it must be above 0")


def check_decay(part: str, value: float) -> None:
    """Refuse a decay outside [0, 1)."""
    if not _number(value) or not 0 <= value < 1:
        raise GridcodeError(f"{part}: decay is {value!r}; it must be in [0, 1), near 1 for a long memory")


def check_probability(part: str, name: str, value: float) -> None:
    """Refuse what is no number in [0, 1]."""
    if not _number(value) or not 0 <= value <= 1:
        raise GridcodeError(f"{part}: {name} is {value!r}; it must be in [0, 1]")


def check_whole(part: str, name: str, value: int, *, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number of at least ``least`` and, where there is such a bound, at most ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise GridcodeError(f"{part}: {name} is {value!r}; it must be a whole number {bounds}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
