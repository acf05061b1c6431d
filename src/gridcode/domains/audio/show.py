"""Sounds as images: log-magnitude spectrograms, in colours that also a grey print keeps apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.audio.spectrum import magnitudes
from gridcode.evaluation.images import ImageArray, contact_sheet, save_png

WINDOW = 256
"""Window of the spectrograms that are shown, in samples."""
LOW, HIGH = -70.0, -10.0
"""Decibels, relative to a sine of twice full scale, that are black and white."""
_WIDEST = 512
_COLOURS = np.array([(0, 0, 4), (60, 15, 110), (145, 40, 128), (222, 73, 104), (254, 159, 109), (252, 253, 191)])
"""From black over violet to yellow, in even steps of lightness."""


def spectrograms(waveforms: Tensor, *, rate: int) -> ImageArray:
    """Images of waveforms, low frequencies at the bottom, time to the right: uint8 (B, H, W, 3).

    Args:
        waveforms: (B, 1, T), in [-1, 1].
        rate: Samples per second; above 8 kHz the window grows with it, so that the image's height stays the same.

    >>> spectrograms(torch.zeros(2, 1, 1024), rate=8000).shape
    (2, 258, 34, 3)
    """
    window = WINDOW * max(1, rate // 8000)
    decibels = 20 * (magnitudes(waveforms, window) + 1e-6).log10()
    decibels = decibels[:, :: max(1, rate // 8000), :: -(-decibels.shape[-1] // _WIDEST)]
    grey = ((decibels - LOW) / (HIGH - LOW)).clamp(0, 1).flip(1).cpu().numpy()
    steps = np.linspace(0, 1, len(_COLOURS))
    images: ImageArray = np.stack([np.interp(grey, steps, channel) for channel in _COLOURS.T], -1).astype(np.uint8)
    factor = 2 if images.shape[2] <= _WIDEST // 2 else 1
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def save_sheet(path: Path, sounds: Tensor, reconstructions: Tensor, *, rate: int) -> None:
    """Write the spectrograms of sounds (B, 1, T) in a row, those of their reconstructions below, as PNG.

    >>> import tempfile
    >>> save_sheet(Path(tempfile.mkdtemp()) / "a.png", torch.zeros(2, 1, 512), torch.zeros(2, 1, 512), rate=8000)
    """
    images = spectrograms(torch.cat([sounds.cpu(), reconstructions.cpu()]), rate=rate)
    save_png(contact_sheet(images, columns=len(sounds)), path)
