"""Spectra of waveforms: short-time Fourier magnitudes and mel bands.

    M(k, n) = |sum_j w(j) x(n hop + j - N / 2) exp(-2 pi i j k / N)| / sum_j w(j)      (N: window, hop = N / 4, Hann)

so that a sine of amplitude A has M = A / 2 at its own frequency, whatever the window. Ends are padded with zeros.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def short_time(waveforms: Tensor, window: int, *, hop: int, padding: int) -> tuple[Tensor, Tensor]:
    """The short-time Fourier transform with a Hann window, not yet divided by the window's sum; and that sum.

    Args:
        waveforms: (B, T), float32 or float64.
        window: N, in samples.
        hop: Samples between two frames.
        padding: Zeros at each end.

    Returns:
        (B, N / 2 + 1, frames), complex, and a number.
    """
    shape = torch.hann_window(window, dtype=waveforms.dtype, device=waveforms.device)
    padded = F.pad(waveforms, (padding, padding))
    spectra = torch.stft(padded, window, hop_length=hop, window=shape, center=False, return_complex=True)
    return spectra, shape.sum()


def stft(waveforms: Tensor, window: int) -> Tensor:
    """Complex spectra whose size is M, (B, N / 2 + 1, frames); the arguments are those of :func:`magnitudes`."""
    spectra, area = _quarters(waveforms, window)
    return spectra / area


def magnitudes(waveforms: Tensor, window: int) -> Tensor:
    """STFT magnitudes.

    Args:
        waveforms: (B, T) or (B, 1, T), in [-1, 1].
        window: N, in samples; a multiple of 4.

    Returns:
        (B, N / 2 + 1, frames), frames = 1 + T // (N / 4).

    >>> time = torch.arange(512) / 512
    >>> round(magnitudes(torch.sin(2 * torch.pi * 64 * time)[None], 128)[0, 16, 8].item(), 3)
    0.5
    """
    spectra, area = _quarters(waveforms, window)
    # Of a bin that is exactly 0 the gradient of abs would be NaN in some of PyTorch's versions.
    return (spectra.real.square() + spectra.imag.square() + 1e-14).sqrt() / area


def _quarters(waveforms: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """:func:`short_time` of windows that move by a quarter of themselves, from half of one before the beginning on."""
    flat = waveforms.reshape(len(waveforms), -1).float()
    return short_time(flat, window, hop=window // 4, padding=window // 2)


@lru_cache(maxsize=16)
def mel_filters(rate: int, window: int, bands: int) -> Tensor:
    """Triangular mel filters of Slaney's scale, each of area 1 over frequency up to a constant, (bands, N / 2 + 1).

    The scale is linear below 1 kHz (200 / 3 Hz a mel) and logarithmic above (27 mel a factor of 6.4), as in librosa.
    Filters that are too narrow for the window's resolution hold no bin and are 0.

    >>> mel_filters(8000, 256, 40).shape
    torch.Size([40, 129])
    """
    edges = _to_hertz(np.linspace(0, _to_mel(rate / 2), bands + 2))
    bins = np.linspace(0, rate / 2, window // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(min=0)
    return torch.from_numpy((triangles * 2 / (high - low)).astype(np.float32))


def mel_spectrum(waveforms: Tensor, rate: int, window: int, bands: int) -> Tensor:
    """Mel bands of STFT magnitudes: the mean magnitude under each filter, (B, bands, frames).

    Args:
        waveforms: (B, T) or (B, 1, T), in [-1, 1].
        rate: Samples per second.
        window: N, in samples.
        bands: Number of bands.
    """
    filters = mel_filters(rate, window, bands).to(waveforms.device)
    return filters / filters.sum(1, keepdim=True).clamp(min=1e-12) @ magnitudes(waveforms, window)


def log_mel(waveforms: Tensor, rate: int, *, window: int = 256, bands: int = 40, floor: float = 1e-3) -> Tensor:
    """``ln(mel + floor)``, (B, bands, frames)."""
    return (mel_spectrum(waveforms, rate, window, bands) + floor).log()


def _to_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
