"""How far reconstructions are from sounds, each figure for one sound alone.

SI-SDR(x, y) = 10 log10( |a x|^2 / |a x - y|^2 ),  a = <x, y> / |x|^2       (Le Roux et al. 2019, eq. 5)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.domains.audio.data.loader import AudioBatch
from gridcode.domains.audio.loss import mel_distance
from gridcode.domains.audio.spectrum import magnitudes
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter

FLOOR = 1e-3
"""Magnitude below which all is silence to the measures, where a sine of full scale has 0.5."""
WINDOWS = (256, 1024)
"""Windows of the measured spectra, in samples."""
BANDS = (40, 80)
"""Mel bands at each window."""


def si_sdr(sounds: Tensor, reconstructions: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of waveforms (B, 1, T), in dB, (B,); NaN where a sound is silent.

    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> si_sdr(x, 2 * x + torch.tensor([[[-4.0, 3.0]]])).item() > 6.02  # a quarter of the power
    True
    """
    x, y = sounds.flatten(1).float(), reconstructions.flatten(1).float()
    power = x.square().sum(1, keepdim=True)
    target = (x * y).sum(1, keepdim=True) / power * x
    ratio = target.square().sum(1) / (target - y).square().sum(1).clamp(min=1e-12)
    return torch.where(power[:, 0] > 0, 10 * ratio.clamp(min=1e-12).log10(), torch.nan)


def spectral_distance(sounds: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean absolute difference of log STFT magnitudes of waveforms (B, 1, T), in dB, the mean over windows: (B,)."""
    found = []
    for window in WINDOWS:
        logs = [20 * (magnitudes(sound, window) + FLOOR).log10() for sound in (sounds, reconstructions)]
        found.append((logs[0] - logs[1]).abs().flatten(1).mean(1))
    return torch.stack(found).mean(0)


@dataclass(frozen=True)
class AudioScores:
    """The mean figures over sounds.

    Attributes:
        mel_distance: Of log-mel spectra, in nats.
        stft_distance: Of log magnitudes, in dB.
        si_sdr: In dB, over the sounds that are not silent.
        usage: Of the codes.
    """

    mel_distance: float
    stft_distance: float
    si_sdr: float
    usage: TokenUsage


class AudioMeter:
    """Adds up batches of sounds and their reconstructions.

    Args:
        tokenizer: Whose codes are counted.
        rate: Samples per second.
    """

    def __init__(self, tokenizer: Tokenizer, rate: int) -> None:
        self._rate, self._codes = rate, TokenUsageMeter(tokenizer.quantizer)
        self._found: dict[str, list[Tensor]] = {"mel": [], "stft": [], "sdr": []}

    def update(self, sounds: Tensor, reconstructions: Tensor, indices: Tensor) -> None:
        """Add sounds (B, 1, T), their reconstructions and their tokens."""
        self._codes.update(indices)
        self._found["mel"].append(mel_distance(sounds, reconstructions, self._rate, WINDOWS, BANDS, FLOOR).cpu())
        self._found["stft"].append(spectral_distance(sounds, reconstructions).cpu())
        self._found["sdr"].append(si_sdr(sounds, reconstructions).cpu())

    def compute(self) -> AudioScores:
        """The means so far."""
        mel, stft, sdr = (torch.cat(parts).nanmean().item() for parts in self._found.values())
        return AudioScores(mel, stft, sdr, self._codes.compute())


@torch.inference_mode()
def measure_reconstructions(tokenizer: Tokenizer, batches: Iterable[AudioBatch], rate: int) -> AudioScores:
    """Send sounds through a tokenizer in evaluation mode and back, and measure."""
    meter = AudioMeter(tokenizer, rate)
    for batch in batches:
        sounds = batch.waveforms.to(tokenizer.device)
        out = tokenizer(sounds)
        meter.update(sounds, out.outputs.float().clamp(-1, 1), out.quantized.indices)
    return meter.compute()
