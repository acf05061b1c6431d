"""Convolutional blocks: residual block, and the two changes of resolution.

The block is the pre-activation one that VQ-GAN made the habit of the field: norm, SiLU, 3x3 convolution,
twice, around a shortcut.

Weights are contiguous, as files hold them. What passes through :class:`Conv2d` is in the memory layout that is fastest
where it runs; so neither the layout of an image nor the way in which a network was made changes its result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv2d(nn.Conv2d):
    """PyTorch's convolution, on its input in the fastest memory layout.

    That is channels-last, except in half precision on a CPU: there PyTorch's group normalisation is twenty times slower
    in channels-last than in the default layout, and oneDNN's convolutions are equally fast in both (LOG.md has the
    figures).

    >>> layer, x = Conv2d(2, 4, 3), torch.zeros(1, 2, 5, 5)
    >>> layer(x).is_contiguous(memory_format=torch.channels_last), layer.weight.is_contiguous()
    (True, True)
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H', W')."""
        half = input.dtype in (torch.bfloat16, torch.float16)
        if input.device.type == "cpu" and (half or torch.is_autocast_enabled("cpu")):
            return super().forward(input.to(memory_format=torch.contiguous_format))
        return super().forward(input.to(memory_format=torch.channels_last))


class Norm(nn.GroupNorm):
    """Group normalisation with as many groups, up to 32, as divide ``width``.

    Args:
        width: Channels, C.
    """

    def __init__(self, width: int) -> None:
        super().__init__(math.gcd(width, 32), width, eps=1e-6)


class ChannelNorm(nn.LayerNorm):
    """Normalisation of the channels of each place by itself: it looks at no other place, whatever an image's size.

    Group normalisation takes means over the whole image, so that the same pixels look otherwise in another image or
    tile. HiFiC (Mentzer et al. 2020, section 3.3 and appendix A.1) normalises like this for that reason.

    Args:
        width: Channels, C.

    >>> norm, x = ChannelNorm(8), torch.randn(1, 8, 4, 6)
    >>> torch.allclose(norm(x)[..., :2], norm(x[..., :2]), atol=1e-6)
    True
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """``x + conv(silu(norm(conv(silu(norm(x))))))``; a 1x1 convolution is the shortcut where widths differ.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
        norm: The kind of normalisation.

    >>> ResidualBlock(8, 16)(torch.zeros(2, 8, 4, 6)).shape
    torch.Size([2, 16, 4, 6])
    """

    def __init__(self, width_in: int, width_out: int, norm: type[Norm | ChannelNorm] = Norm) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = Conv2d(width_in, width_out, 3, padding=1)
        self.norm2 = norm(width_out)
        self.conv2 = Conv2d(width_out, width_out, 3, padding=1)
        self.shortcut = nn.Identity() if width_in == width_out else Conv2d(width_in, width_out, 1)
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
        self.conv1 = Conv2d(width_in, width_out, 3, padding=1, bias=False)
        self.norm2 = Norm(width_out)
        self.conv2 = Conv2d(width_out, width_out, 3, padding=1, bias=False)
        self.shortcut = None if width_in == width_out else Conv2d(width_out, width_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H, W)."""
        h: Tensor = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(h))


class Downsample(Conv2d):
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
        self.conv = Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
