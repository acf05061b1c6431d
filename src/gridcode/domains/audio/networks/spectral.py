"""Encoder and decoder between a short-time Fourier transform and its inverse; every layer works at the tokens' rate.

(B, 1, T) ─ transform ─ 3-tap conv ─ [ block ] x n ─ norm ─ 1-tap conv ─> (B, d, 1, t), t = T / hop
(B, d, 1, t) ─ 3-tap conv ─ [ block ] x n ─ norm ─ 1-tap conv ─> magnitudes, phases ─ inverse ─> (B, 1, T)

A block is ConvNeXt's: ``x + scale · pointwise(gelu(pointwise(norm(depthwise(x)))))``. The encoder sees of each value X
of the transform ``ln(|X| + 1e-3)`` and ``X / sqrt |X|``; the decoder gives ``exp(m)`` and the phase as an angle.

Frame j is centred on the samples of place j, ``hop · j`` to ``hop · (j + 1)``; beyond the ends there are zeros.

Reference: Siuzdak 2023 (Vocos), the decoder; Liu et al. 2022 (ConvNeXt). Differs from Vocos: there is an encoder of the
same kind, and blocks are narrower.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.audio.architectures import SpectralConfig
from gridcode.domains.audio.spectrum import short_time
from gridcode.nn.conv import ChannelNorm

FLOOR = 1e-3
"""Magnitude that the encoder takes for silence, where a sine of full scale has 0.5."""


def transform(waveforms: Tensor, window: int, hop: int) -> Tensor:
    """The short-time Fourier transform with a Hann window, over the window's sum: |X| = A / 2 of a sine of amplitude A.

    Args:
        waveforms: (B, T), T a multiple of the hop, float32 or float64.
        window: N, in samples.
        hop: Samples between two frames.

    Returns:
        (B, N / 2 + 1, T / hop), complex.
    """
    spectra, area = short_time(waveforms, window, hop=hop, padding=(window - hop) // 2)
    return spectra / area


def inverse(spectra: Tensor, window: int, hop: int) -> Tensor:
    """The waveforms whose :func:`transform` is nearest to these spectra, in the mean square of frames.

    Args:
        spectra: (B, N / 2 + 1, t), complex.
        window: N, in samples.
        hop: Samples between two frames.

    Returns:
        (B, t · hop).

    >>> sounds = torch.linspace(-1, 1, 512)[None]
    >>> torch.allclose(inverse(transform(sounds, 128, 32), 128, 32), sounds, atol=1e-5)
    True
    """
    frames = torch.fft.irfft(spectra, window, dim=1)
    shape = torch.hann_window(window, dtype=frames.dtype, device=frames.device)
    weights = (shape.square()[None, :, None]).expand(1, window, frames.shape[2])
    around, length = (window - hop) // 2, (frames.shape[2] - 1) * hop + window
    summed, weight = (
        F.fold(part, (1, length), (1, window), stride=(1, hop))[:, 0, 0, around : length - around]
        for part in (frames * (shape * shape.sum())[:, None], weights)
    )
    return summed / weight


class Block(nn.Module):
    """ConvNeXt's block over time.

    Args:
        width: Channels.
        kernel: Taps of the depthwise convolution, odd.
        scale: What the block's share begins at.
    """

    def __init__(self, width: int, kernel: int, scale: float) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t) -> (B, C, t)."""
        h = self.norm(self.over_time(x).transpose(1, 2))
        h = self.leave(F.gelu(self.enter(h))) * self.scale
        result: Tensor = x + h.transpose(1, 2)
        return result


def _blocks(config: SpectralConfig, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(config.width, config.kernel, 1 / count) for _ in range(count)))


class SpectralEncoder(nn.Module):
    """Waveforms (B, 1, T) to latents (B, d, 1, t), t = T / hop."""

    def __init__(self, config: SpectralConfig, latents: int) -> None:
        super().__init__()
        self.window, self.hop = config.window, config.hop
        self.stem = nn.Conv1d(3 * (config.window // 2 + 1), config.width, 3, padding=1)
        self.levels = _blocks(config, config.encoder_blocks)
        self.head = nn.Sequential(ChannelNorm(config.width), nn.Conv1d(config.width, latents, 1))

    def forward(self, waveforms: Tensor) -> Tensor:
        """(B, 1, T) -> (B, d, 1, t)."""
        X = transform(_at_least_float32(waveforms.squeeze(1)), self.window, self.hop)
        size = (X.real.square() + X.imag.square() + 1e-14).sqrt()
        root = 2 / (size + 1e-5).sqrt()
        seen = torch.cat((0.5 * (size + FLOOR).log() + 2, X.real * root, X.imag * root), 1)
        latents: Tensor = self.head(self.levels(self.stem(seen.to(self.stem.weight.dtype))))
        return latents.unsqueeze(2)


class SpectralDecoder(nn.Module):
    """Codes (B, d, 1, t) to waveforms (B, 1, T)."""

    def __init__(self, config: SpectralConfig, latents: int) -> None:
        super().__init__()
        self.window, self.hop = config.window, config.hop
        self.stem = nn.Conv1d(latents, config.width, 3, padding=1)
        self.levels = _blocks(config, config.decoder_blocks)
        self.norm = ChannelNorm(config.width)
        self.head = nn.Conv1d(config.width, config.window + 2, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, 1, t) -> (B, 1, T)."""
        h = self.norm(self.levels(self.stem(codes.squeeze(2))))
        with torch.autocast(h.device.type, enabled=False):  # an angle in bf16 is off by a hundredth
            sizes, angles = _at_least_float32(self.head(h.to(self.head.weight.dtype))).chunk(2, 1)
            spectra = torch.polar((2 * sizes - 5).clamp(max=1).exp(), angles)
            return inverse(spectra, self.window, self.hop).unsqueeze(1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
