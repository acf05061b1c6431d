r"""The networks: clip to latents at falling resolution of space and time, codes to clip at rising resolution.

    clip -> patches of frames -> 3x3 -> [blocks, halve space, perhaps halve time] x (levels - 1) -> blocks -> latents
    codes -> 3x3 -> blocks -> [perhaps double time, double space, blocks] x (levels - 1) -> 3x3 -> patches -> clip

A block is a convolution of three axes in two factors: a residual block of 3x3 convolutions within each frame, and one
of 3 taps over the frames at each place. Encoder and decoder are built from the shape and from d, the channels of the
latents.

*Causal*: nothing of a frame reaches an earlier one. Taps over time lie in the past, where the first frame is repeated;
norms are of one frame at a time. So the first frame is coded alone, like an image, the tokens of the first frames are
the same whatever comes later, and 1 + T frames become 1 + T/2 where time is halved:

    frames  0   1   2   3   4  …       time halved:   a = f(0, 0, 0)   b = f(0, 1, 2)   c = f(2, 3, 4)   …
            a   b       c              time doubled:  a  b  b  c  c  …

Reference: Yu et al., "Language Model Beats Diffusion", 2023 (MAGVIT-v2, arXiv 2310.05737), section 3.2, causal
convolutions, the first frame alone; NVIDIA, "Cosmos World Foundation Model Platform", 2025 (arXiv 2501.03575), section
4.1, convolutions in two factors.
Differs from paper: MAGVIT-v2's convolutions are of 3x3x3 taps; Cosmos starts with wavelets in place of patches and has
attention over frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.video.config import VideoTokenizerConfig
from gridcode.nn.conv import Conv2d, Downsample, Norm, ResidualBlock, Upsample

TAPS = 3
"""Frames that a convolution over time sees."""


class EachFrame(nn.Module):
    """A layer of images, applied to every frame.

    Frames lie in memory as images in channels-last do, so nothing is copied on the way.

    Args:
        layer: (N, C, H, W) -> (N, C', H', W').

    >>> EachFrame(nn.AvgPool2d(2))(torch.zeros(2, 3, 5, 8, 8)).shape
    torch.Size([2, 3, 5, 4, 4])
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T, H', W')."""
        frames: Tensor = self.layer(x.transpose(1, 2).flatten(0, 1))
        return frames.view(len(x), x.shape[2], *frames.shape[1:]).transpose(1, 2)


class CausalConv(Conv2d):
    """A convolution of three taps over time at each place: a frame and the two before it; before the first lies itself.

    Args:
        width: Channels, of input and output.
        stride: 2 halves 1 + T frames to 1 + T/2.

    >>> CausalConv(4, stride=2)(torch.zeros(1, 4, 17, 3, 5)).shape
    torch.Size([1, 4, 9, 3, 5])
    """

    def __init__(self, width: int, *, stride: int = 1) -> None:
        super().__init__(width, width, (TAPS, 1), stride=(stride, 1))

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T', H, W)."""
        x = input.flatten(3)
        out = super().forward(torch.cat([x[:, :, :1]] * (TAPS - 1) + [x], 2))
        return out.view(*out.shape[:3], *input.shape[3:])


class Block(nn.Module):
    """A residual block within each frame, then ``x + causal(silu(norm(x)))`` over the frames.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.

    >>> Block(4, 8)(torch.zeros(2, 4, 5, 6, 6)).shape
    torch.Size([2, 8, 5, 6, 6])
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.within = EachFrame(ResidualBlock(width_in, width_out))
        self.norm = EachFrame(Norm(width_out))
        self.over = CausalConv(width_out)
        nn.init.zeros_(self.over.weight)  # it begins as images in a row

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, T, H, W) -> (B, width_out, T, H, W)."""
        x = self.within(x)
        out: Tensor = x + self.over(F.silu(self.norm(x)))
        return out


class DoubleTime(nn.Module):
    """1 + t frames to 1 + 2 t: every frame but the first comes twice, then a causal convolution.

    >>> DoubleTime(4)(torch.zeros(1, 4, 5, 2, 2)).shape
    torch.Size([1, 4, 9, 2, 2])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.over = CausalConv(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1 + t, H, W) -> (B, C, 1 + 2 t, H, W)."""
        out: Tensor = self.over(x.repeat_interleave(2, 2)[:, :, 1:])
        return out


class Encoder(nn.Sequential):
    """Clips (B, C, T, H, W) in [-1, 1] to latents (B, d, t, h, w)."""

    def __init__(self, config: VideoTokenizerConfig, latents: int) -> None:
        widths, pixels = config.widths, 3 * config.patch**2
        layers: list[nn.Module] = [
            EachFrame(nn.PixelUnshuffle(config.patch)),
            EachFrame(Conv2d(pixels, widths[0], 3, padding=1)),
        ]
        before = widths[0]
        for level, width in enumerate(widths):
            if level:
                layers.append(EachFrame(Downsample(before)))
            if config.halves_time(level):
                layers.append(CausalConv(before, stride=2))
            for _ in range(config.encoder_blocks):
                layers.append(Block(before, width))
                before = width
        super().__init__(*layers, EachFrame(nn.Sequential(Norm(before), nn.SiLU(), Conv2d(before, latents, 1))))


class Decoder(nn.Sequential):
    """Codes (B, d, t, h, w) to clips (B, C, T, H, W), in [-1, 1] once trained."""

    def __init__(self, config: VideoTokenizerConfig, latents: int) -> None:
        before, last = config.widths[-1], 3 * config.patch**2
        layers: list[nn.Module] = [EachFrame(Conv2d(latents, before, 3, padding=1))]
        for level in reversed(range(len(config.widths))):
            for _ in range(config.decoder_blocks):
                layers.append(Block(before, config.widths[level]))
                before = config.widths[level]
            if config.halves_time(level):
                layers.append(DoubleTime(before))
            if level:
                layers.append(EachFrame(Upsample(before)))
        head = nn.Sequential(Norm(before), nn.SiLU(), Conv2d(before, last, 3, padding=1), nn.PixelShuffle(config.patch))
        super().__init__(*layers, EachFrame(head))
