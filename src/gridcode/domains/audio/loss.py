"""The loss of a tokenizer of sounds.

    L = l1 · mean |x - y|
      + stft · mean over windows ( mean |ln(|X| + f) - ln(|Y| + f)| + ||X| - |Y||_F / ||X||_F )
      + mel · mean over mel windows ( mean |ln(mel X + f) - ln(mel Y + f)| )  + the quantizer's own

The STFT term is that of Parallel WaveGAN (Yamamoto et al. 2020, eq. 4 to 6), the mel term that of DAC (Kumar et al.
2023, section 3.4). X is the sound's spectrum, Y its reconstruction's, f the floor below which all is silence.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.audio.config import AudioLossConfig
from gridcode.domains.audio.data.loader import AudioBatch
from gridcode.domains.audio.spectrum import log_mel, magnitudes
from gridcode.tokenizer.domain import Objective


def stft_distance(first: Tensor, second: Tensor, windows: tuple[int, ...], floor: float) -> Tensor:
    """Log magnitude and spectral convergence of two batches of waveforms (B, 1, T), the mean over windows: a scalar.

    Args:
        first: The sounds, X.
        second: Their reconstructions, Y; the gradient goes here.
        windows: Window lengths.
        floor: Magnitude that is added before the logarithm.

    >>> sound = torch.linspace(-1, 1, 512)[None, None]
    >>> stft_distance(sound, sound, (64, 128), 1e-3).item()
    0.0
    """
    found = []
    for window in windows:
        X, Y = magnitudes(first, window), magnitudes(second, window)
        convergence = (X - Y).flatten(1).norm(dim=1) / (X.flatten(1).norm(dim=1) + floor)
        found.append(F.l1_loss((Y + floor).log(), (X + floor).log()) + convergence.mean())
    return torch.stack(found).mean()


def mel_distance(
    first: Tensor, second: Tensor, rate: int, windows: tuple[int, ...], bands: tuple[int, ...], floor: float
) -> Tensor:
    """Mean absolute difference of the log-mel spectra of waveforms (B, 1, T), in nats, the mean over windows: (B,)."""
    found = []
    for window, count in zip(windows, bands, strict=True):
        spectra = [log_mel(sound, rate, window=window, bands=count, floor=floor) for sound in (first, second)]
        found.append((spectra[0] - spectra[1]).abs().flatten(1).mean(1))
    return torch.stack(found).mean(0)


@final
class AudioObjective(Objective):
    """The terms ``l1``, ``stft`` and ``mel``, those that have a weight.

    Args:
        config: Weights and windows.
        rate: Samples a second.
    """

    def __init__(self, config: AudioLossConfig, rate: int) -> None:
        self._config, self._rate = config, rate

    def inputs(self, batch: AudioBatch, step: int) -> tuple[Tensor, ...]:
        """The waveforms."""
        return (batch.waveforms,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        config, outputs, sounds = self._config, outputs.float(), inputs[0]
        terms: dict[str, Tensor] = {}
        if config.l1:
            terms["l1"] = config.l1 * F.l1_loss(outputs, sounds)
        if config.stft:
            terms["stft"] = config.stft * stft_distance(sounds, outputs, config.windows, config.floor)
        if config.mel:
            windows, bands = config.mel_windows, config.mels
            terms["mel"] = config.mel * mel_distance(sounds, outputs, self._rate, windows, bands, config.floor).mean()
        return terms
