"""A discriminator of sounds: convolutions over complex spectrograms of several windows, which score each part of them.

    waveform --STFT, window N--> (2, N / 2 + 1, frames) --9x3 conv--> [9x3 conv, stride 2 over frequency,
        dilation 1, 2, 4 over time] x 3 --3x3 conv--> --3x3 conv--> scores, one for each place

EnCodec's multi-scale STFT discriminator, with leaky ReLU of slope 0.2 and weight norm. A window moves by a quarter of
itself, so that every window has about as many places: 2 T values in, T / 4 scores out.

Differs from EnCodec: a value X enters as ``X / sqrt |X|``, so that weak harmonics count beside strong ones; sizes of
kernels are (frequency, time) and the same for every window.

Reference: Défossez et al. 2022 (EnCodec), section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from gridcode.domains.audio.spectrum import stft

SLOPE = 0.2
DILATIONS = (1, 2, 4)


class Discriminator(nn.Module):
    """Waveforms to scores: high for what sounds real.

    Args:
        windows: Window lengths of the spectrograms, in samples.
        width: Channels.

    >>> Discriminator((64, 128), width=4)(torch.zeros(2, 1, 512)).shape
    torch.Size([2, 318])
    """

    def __init__(self, windows: Sequence[int], *, width: int) -> None:
        super().__init__()
        self.windows = tuple(windows)
        self.scales = nn.ModuleList(_Scale(width) for _ in self.windows)

    def layers(self, waveforms: Tensor) -> list[Tensor]:
        """The activations of each layer and window; the last are the scores (B, n) of all windows."""
        found, scores = list[Tensor](), list[Tensor]()
        for window, scale in zip(self.windows, self.scales, strict=True):
            *hidden, last = scale(stft(waveforms, window))
            found += hidden
            scores.append(last.flatten(1))
        return [*found, torch.cat(scores, 1)]

    def forward(self, waveforms: Tensor) -> Tensor:
        """Scores (B, n) of waveforms (B, 1, T) in [-1, 1]."""
        return self.layers(waveforms)[-1]


class _Scale(nn.Module):
    """Spectrograms of one window to activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        halving = [
            nn.Conv2d(width, width, (9, 3), stride=(2, 1), dilation=(1, dilation), padding=(4, dilation))
            for dilation in DILATIONS
        ]
        convs = [nn.Conv2d(2, width, (9, 3), padding=(4, 1)), *halving, nn.Conv2d(width, width, 3, padding=1)]
        self.convs = nn.ModuleList(weight_norm(conv) for conv in convs)
        self.score = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, spectra: Tensor) -> list[Tensor]:
        """(B, F, frames), complex -> the activations of each layer, the scores last."""
        parts = torch.stack((spectra.real, spectra.imag), 1)
        h = parts * (parts.square().sum(1, keepdim=True) + 1e-10).pow(-0.25)
        found = []
        for conv in self.convs:
            h = F.leaky_relu(conv(h), SLOPE)
            found.append(h)
        return [*found, self.score(h)]
