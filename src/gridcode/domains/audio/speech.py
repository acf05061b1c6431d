"""Speech by the measures that its codecs are compared by: STOI and PESQ, by the packages of these names (extra speech).

    STOI    how well speech is understood, 0 (not) to 1 (fully)             Taal et al. 2011; pystoi
    PESQ    what listeners would say, 1 (bad) to 4.6 (ITU-T P.862), narrow  pesq
            band at 8,000 samples per second, wide band (P.862.2) at 16,000

Both need some seconds of speech, so that short sounds are put one after another.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SECONDS: Final = 6.0
"""Length of what is measured at a time, at least."""
_LEAST: Final = 0.5
"""Seconds that both need."""
_MODES: Final = {8000: "nb", 16000: "wb"}
"""PESQ's two rates."""


def speech_scores(sounds: Tensor, reconstructions: Tensor, rate: int) -> dict[str, float]:
    """STOI and PESQ, where the packages are installed and the rate allows.

    Args:
        sounds: Speech, (n, 1, T).
        reconstructions: The same.
        rate: Samples per second.

    Returns:
        ``stoi`` and ``pesq``, means over stretches of :data:`SECONDS`; what could not be measured is left out: less
        than half a second, stretches without speech and, of PESQ, those of which nothing came back.
    """
    pairs = [
        (sound, other)
        for sound, other in _stretches(sounds, reconstructions, rate)
        if len(sound) >= _LEAST * rate and np.any(sound)
    ]
    return {
        name: float(np.mean(found))
        for name, measure in (("stoi", _stoi), ("pesq", _pesq))
        if (found := [value for pair in pairs if (value := measure(*pair, rate)) is not None])
    }


def _stretches(
    sounds: Tensor, reconstructions: Tensor, rate: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Sounds one after another, and their reconstructions; what is left over is put to the last stretch."""
    length = sounds.shape[-1]
    each = max(1, -(-int(SECONDS * rate) // length))
    count = max(1, len(sounds) // each)
    for number in range(count if len(sounds) else 0):
        part = slice(number * each, None if number == count - 1 else (number + 1) * each)
        yield sounds[part].flatten().float().numpy(), reconstructions[part].flatten().float().numpy()


def _stoi(sound: NDArray[np.float32], other: NDArray[np.float32], rate: int) -> float | None:
    package = _package("pystoi")
    if package is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package.stoi(sound, other, rate))
        except RuntimeWarning:  # less than 0.4 s is no silence
            return None


def _pesq(sound: NDArray[np.float32], other: NDArray[np.float32], rate: int) -> float | None:
    package = _package("pesq") if rate in _MODES and np.any(other) else None
    if package is None:
        return None
    try:
        return float(package.pesq(rate, sound, other, _MODES[rate]))
    except package.NoUtterancesError:  # nobody speaks
        return None


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
