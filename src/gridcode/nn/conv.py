"""Convolutional blocks: residual block, and the two changes of resolution.

The block is the pre-activation one that VQ-GAN made the habit of the field: norm, SiLU, 3x3 convolution,
twice, around a shortcut. Weights may live in either memory layout; :func:`to_fast_layout` says which is
faster where.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.GroupNorm):
    """Group normalisation with as many groups, up to 32, as divide ``width``.

    Args:
        width: Channels, C.
    """

    def __init__(self, width: int) -> None:
        super().__init__(math.gcd(width, 32), width, eps=1e-6)


class ResidualBlock(nn.Module):
    """``x + conv(silu(norm(conv(silu(norm(x))))))``; a 1x1 convolution is the shortcut where widths differ.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.

    >>> ResidualBlock(8, 16)(torch.zeros(2, 8, 4, 6)).shape
    torch.Size([2, 16, 4, 6])
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm1 = Norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm2 = Norm(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.shortcut = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        # A block starts as its shortcut: deep stacks then train from the first step.
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H, W)."""
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        shortcut: Tensor = self.shortcut(x)
        return shortcut + h


class MaskGITBlock(nn.Module):
    """MaskGIT's residual block: convolutions have no biases; where widths differ, the shortcut's 1x1 convolution is on
    the *processed* branch instead of the input, as in its published code.

    y = conv(silu(norm(conv(silu(norm(x))))));  out = y + x, or y + shortcut(y) where widths differ

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm1 = Norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1, bias=False)
        self.norm2 = Norm(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.shortcut = None if width_in == width_out else nn.Conv2d(width_out, width_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H, W)."""
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(h))


class Downsample(nn.Conv2d):
    """Halves height and width (which are even) by a 3x3 convolution of stride 2.

    >>> Downsample(4)(torch.zeros(1, 4, 8, 6)).shape
    torch.Size([1, 4, 4, 3])
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, stride=2, padding=1)


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a 3x3 convolution.

    >>> Upsample(4)(torch.zeros(1, 4, 4, 3)).shape
    torch.Size([1, 4, 8, 6])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def to_fast_layout(module: nn.Module, device: torch.device, *, reduced: bool) -> None:
    """Move a convolutional model, in place, to a device and the memory layout in which it runs fastest there.

    Channels-last everywhere, except in bf16 on a CPU: there PyTorch's group normalisation is twenty times
    slower in channels-last than in the default layout, and oneDNN's convolutions are equally fast in both
    (LOG.md has the figures).

    Args:
        module: The model.
        device: Where it runs.
        reduced: Whether it runs in bf16 or fp16.
    """
    layout = torch.contiguous_format if device.type == "cpu" and reduced else torch.channels_last
    module.to(device).to(memory_format=layout)  # type: ignore[call-overload]  # missing in PyTorch's stubs
