"""From the shape of a tokenizer of sounds to its two networks: one place that knows every architecture.

A new kind is a config below ``AudioArchitecture``, a member of ``AudioArchitectureConfig`` (``architectures.py``), a
file here, a case below, and a name for the model card (``NETWORKS`` in ``domain.py``).
"""

from __future__ import annotations

from torch import nn

from gridcode.domains.audio.architectures import AudioArchitectureConfig, SpectralConfig, WaveformConfig
from gridcode.domains.audio.networks.spectral import SpectralDecoder, SpectralEncoder
from gridcode.domains.audio.networks.waveform import WaveformDecoder, WaveformEncoder


def make_networks(config: AudioArchitectureConfig, latents: int) -> tuple[nn.Module, nn.Module]:
    """A new encoder and a new decoder.

    Args:
        config: Their kind and shape.
        latents: Channels of the latents, d.

    Returns:
        (B, 1, T) in [-1, 1] -> (B, d, 1, t), and the way back.

    >>> import torch
    >>> encoder, decoder = make_networks(SpectralConfig(width=8, hop=16, window=64), 4)
    >>> decoder(encoder(torch.zeros(1, 1, 160))).shape
    torch.Size([1, 1, 160])
    """
    match config:
        case WaveformConfig():
            return WaveformEncoder(config, latents), WaveformDecoder(config, latents)
        case SpectralConfig():
            return SpectralEncoder(config, latents), SpectralDecoder(config, latents)
