"""MaskGIT's discriminator: StyleGAN2's residual one, without its batch statistics.

image -> unshuffle(patch) -> 3x3 conv, leaky ReLU -> [residual block that halves] until the side is 4 to 7
      -> 3x3 conv, leaky ReLU -> flatten -> dense, leaky ReLU -> dense -> score

A block is ``(conv1x1(blur(x)) + lrelu(conv3x3(blur(lrelu(conv3x3(x)))))) / sqrt 2``: the blur [1, 3, 3, 1] takes away
what halving would alias, and sqrt 2 keeps the variance. Leaky ReLU has slope 0.2, weights start Xavier-uniform,
biases at 0. Width is ``width`` at 32 pixels and below, and halves with every doubling above:

    side                256   128    64   32 … 4
    width 512 (MaskGIT)  64   128   256      512
    width 64              8    16    32       64

Differs from MaskGIT: images may enter as squares of ``patch`` pixels, as they may into the tokenizer.

Reference: Karras et al. 2020 (StyleGAN2); Chang et al. 2022 (MaskGIT); Zhang 2019 (blur).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.nn.conv import Conv2d

SLOPE = 0.2
LEAST_SIDE = 4
"""The grid that is not halved any more."""


class Discriminator(nn.Module):
    """Images to scores: high for what looks real.

    Args:
        channels: Channels of the images, C.
        size: Their side in pixels; 4 at least, in patches.
        width: Channels at 32 pixels and below.
        patch: Side of the squares that enter the first layer as channels.

    Raises:
        GridcodeError: The images are too small, or no multiple of ``patch``.

    >>> import torch
    >>> Discriminator(3, 32, width=16)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2])
    """

    def __init__(self, channels: int, size: int, *, width: int, patch: int = 1) -> None:
        super().__init__()
        side = size // patch
        if size % patch or side < LEAST_SIDE:
            raise GridcodeError(
                f"the discriminator takes images of at least {LEAST_SIDE * patch} pixels, a multiple of its patch "
                f"{patch}, got {size}; change loss.adversarial.patch"
            )
        self.patches = nn.PixelUnshuffle(patch) if patch > 1 else nn.Identity()
        before = width_at(side, width)
        self.first = Conv2d(channels * patch**2, before, 3, padding=1)
        blocks: list[nn.Module] = []
        for _ in range(int(math.log2(side)) - 2):
            side = (side + 1) // 2
            blocks.append(DownBlock(before, width_at(side, width)))
            before = width_at(side, width)
        self.blocks = nn.Sequential(*blocks)
        self.last = Conv2d(before, before, 3, padding=1)
        self.dense = nn.Linear(before * side**2, before)
        self.score = nn.Linear(before, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B,) of images (B, C, size, size) in [-1, 1]."""
        h = F.leaky_relu(self.first(self.patches(images)), SLOPE)
        h = F.leaky_relu(self.last(self.blocks(h)), SLOPE)
        h = F.leaky_relu(self.dense(h.flatten(1)), SLOPE)
        scores: Tensor = self.score(h)
        return scores.squeeze(1)


class DownBlock(nn.Module):
    """A residual block that halves height and width; odd sides are rounded up.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.

    >>> import torch
    >>> DownBlock(8, 16)(torch.zeros(2, 8, 14, 7)).shape
    torch.Size([2, 16, 7, 4])
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(width_in, width_in, 3, padding=1)
        self.conv2 = Conv2d(width_in, width_out, 3, padding=1)
        self.shortcut = Conv2d(width_in, width_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, ceil(H / 2), ceil(W / 2))."""
        h = blur_and_halve(F.leaky_relu(self.conv1(x), SLOPE))
        h = F.leaky_relu(self.conv2(h), SLOPE)
        shortcut: Tensor = self.shortcut(blur_and_halve(x))
        return (shortcut + h) * math.sqrt(0.5)


def width_at(side: int, width: int) -> int:
    """Channels at a resolution, a multiple of 8.

    >>> [width_at(side, 512) for side in (256, 128, 64, 32, 7)]
    [64, 128, 256, 512, 512]
    """
    return max(8, width * 32 // max(32, side) // 8 * 8)


def blur_and_halve(x: Tensor) -> Tensor:
    """Every second value of x blurred with [1, 3, 3, 1] / 8 in both directions; zeros lie around it.

    Written as sums of slices: a depthwise convolution in bf16 has a backward pass twice as slow on a CPU.

    Args:
        x: (B, C, H, W).

    Returns:
        (B, C, ceil(H / 2), ceil(W / 2)).

    >>> import torch
    >>> blur_and_halve(torch.ones(1, 1, 6, 6))[0, 0, 1]
    tensor([0.8750, 1.0000, 0.8750])
    """
    H, W = x.shape[-2:]
    x = F.pad(x, (1, 1 + W % 2, 1, 1 + H % 2))
    x = (x[..., :-2:2] + x[..., 3::2]) * 0.125 + (x[..., 1:-1:2] + x[..., 2::2]) * 0.375
    return (x[..., :-2:2, :] + x[..., 3::2, :]) * 0.125 + (x[..., 1:-1:2, :] + x[..., 2::2, :]) * 0.375
