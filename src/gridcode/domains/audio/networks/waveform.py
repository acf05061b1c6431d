"""Encoder and decoder of convolutions on waveforms: see :mod:`gridcode.domains.audio.architectures` for its models.

(B, 1, T) ─ [ strided conv ─ units ] x levels ─ snake ─ conv ─> (B, d, 1, t)
(B, d, 1, t) ─ conv ─ [ units ─ snake ─ transposed conv ] x levels ─ snake ─ conv ─> (B, 1, T)

Both are built from the shape and from d, the channels of the latents.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gridcode.domains.audio.architectures import WaveformConfig


class Snake(nn.Module):
    """``x + sin(alpha x)^2 / alpha``, with one alpha a channel: a periodic activation (Liu et al. 2020, eq. 3).

    >>> Snake(2)(torch.zeros(1, 2, 3)).abs().sum().item()
    0.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        alpha = self.log_alpha.exp()
        return x + torch.sin(alpha * x).square() / alpha


class ResidualUnit(nn.Module):
    """``x + pointwise(snake(dilated(snake(x))))`` (DAC, section 3.1).

    Args:
        width: Channels.
        kernel: Taps of the dilated convolution, odd.
        dilation: Distance of its taps.
    """

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.body = nn.Sequential(
            Snake(width),
            nn.Conv1d(width, width, kernel, dilation=dilation, padding=padding),
            Snake(width),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        result: Tensor = x + self.body(x)
        return result


def _units(width: int, config: WaveformConfig) -> list[nn.Module]:
    return [ResidualUnit(width, config.kernel, dilation) for dilation in config.dilations]


class WaveformEncoder(nn.Module):
    """Waveforms (B, 1, T) to latents (B, d, 1, t), t = T / stride."""

    def __init__(self, config: WaveformConfig, latents: int) -> None:
        super().__init__()
        levels, inputs = list[nn.Module](), 1
        for stride, width in zip(config.strides, config.widths, strict=True):
            down = nn.Conv1d(inputs, width, 2 * stride, stride=stride, padding=stride // 2)
            activation = [] if inputs == 1 else [Snake(inputs)]
            levels.append(nn.Sequential(*activation, down, *_units(width, config)))
            inputs = width
        self.levels = nn.Sequential(*levels)
        self.head = nn.Sequential(Snake(inputs), nn.Conv1d(inputs, latents, 3, padding=1))

    def forward(self, waveforms: Tensor) -> Tensor:
        """(B, 1, T) -> (B, d, 1, t)."""
        latents: Tensor = self.head(self.levels(waveforms))
        return latents.unsqueeze(2)


class WaveformDecoder(nn.Module):
    """Codes (B, d, 1, t) to waveforms (B, 1, T): the encoder's levels mirrored, and a convolution at the full rate."""

    def __init__(self, config: WaveformConfig, latents: int) -> None:
        super().__init__()
        widths = (*reversed(config.widths), config.head)
        self.stem = nn.Conv1d(latents, widths[0], 3, padding=1)
        levels = list[nn.Module]()
        for stride, width, outputs in zip(reversed(config.strides), widths, widths[1:], strict=False):
            up = nn.ConvTranspose1d(width, outputs, 2 * stride, stride=stride, padding=stride // 2)
            levels.append(nn.Sequential(*_units(width, config), Snake(width), up))
        self.levels = nn.Sequential(*levels)
        full_rate = nn.Conv1d(config.head, 1, config.kernel, padding=config.kernel // 2)
        self.head = nn.Sequential(Snake(config.head), full_rate)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, 1, t) -> (B, 1, T)."""
        waveforms: Tensor = self.head(self.levels(self.stem(codes.squeeze(2))))
        return waveforms
