"""Encoder and decoder of texts: see :mod:`gridcode.domains.text.config` for the shape.

(B, T) ─ embedding ─ [ unit ] x units ─ strided conv ─ [ unit ] x depth ─ norm ─ pointwise ─> (B, d, 1, t)
(B, d, 1, t) ─ pointwise ─ [ unit ] x depth ─ transposed conv ─ [ unit ] x units ─ norm ─ pointwise ─> (B, 256, T)

Both are built from the shape and from d, the channels of the latents. Every token sees a few neighbours on either side.
Transformers in the place of the units at the rate of the tokens learned more slowly at equal time (LOG.md).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.text.config import VALUES, TextTokenizerConfig


class Unit(nn.Module):
    """``x + pointwise(silu(conv(norm(x))))``.

    Args:
        width: Channels.
        kernel: Taps, odd.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.pointwise = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        out: Tensor = x + self.pointwise(F.silu(self.conv(self.norm(x))))
        return out


class Encoder(nn.Module):
    """Bytes (B, T) to latents (B, d, 1, t), t = T / stride."""

    def __init__(self, config: TextTokenizerConfig, latents: int) -> None:
        super().__init__()
        stride = config.stride
        self.embedding = nn.Embedding(VALUES, config.head)
        down = nn.Conv1d(config.head, config.width, 2 * stride, stride=stride, padding=stride // 2)
        self.units = nn.Sequential(*_units(config.head, config.units, config), down, *_coarse_units(config))
        self.head = _head(config.width, latents)

    def forward(self, text: Tensor) -> Tensor:
        """(B, T) int64 -> (B, d, 1, t)."""
        latents: Tensor = self.head(self.units(self.embedding(text).transpose(1, 2)))
        return latents.unsqueeze(2)


class Decoder(nn.Module):
    """Codes (B, d, 1, t) to logits of every byte, (B, 256, T)."""

    def __init__(self, config: TextTokenizerConfig, latents: int) -> None:
        super().__init__()
        stride = config.stride
        self.stem = nn.Conv1d(latents, config.width, 1)
        up = nn.ConvTranspose1d(config.width, config.head, 2 * stride, stride=stride, padding=stride // 2)
        self.units = nn.Sequential(*_coarse_units(config), up, *_units(config.head, config.units, config))
        self.head = _head(config.head, VALUES)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, 1, t) -> (B, 256, T)."""
        logits: Tensor = self.head(self.units(self.stem(codes.squeeze(2))))
        return logits


def _units(width: int, count: int, config: TextTokenizerConfig) -> list[nn.Module]:
    return [Unit(width, config.kernel) for _ in range(count)]


def _coarse_units(config: TextTokenizerConfig) -> list[nn.Module]:
    return _units(config.width, config.depth, config)


def _head(width: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.GroupNorm(1, width), nn.Conv1d(width, outputs, 1))


def parts_of(network: nn.Module) -> list[nn.Module]:
    """The units of an encoder or a decoder, and the convolution between them."""
    assert isinstance(network, Encoder | Decoder)
    return list(network.units)


def log_probs(logits: Tensor, text: Tensor) -> Tensor:
    """Log-probability of every byte of a text (B, T) under logits (B, 256, T), in nats, (B, T).

    >>> import torch
    >>> round(log_probs(torch.zeros(1, 256, 1), torch.zeros(1, 1)).exp().item() * 256, 4)
    1.0
    """
    return -F.cross_entropy(logits.float(), text.long(), reduction="none")
