"""The convolutional networks: image to latents at falling resolution, codes to image at rising resolution.

image -> unshuffle(patch) -> 3x3 conv -> [blocks, halve] x (stages - 1) -> blocks -> 2 blocks
      -> [norm, SiLU, 1x1 conv] x dense -> norm, SiLU, 1x1 conv -> latents

codes -> 3x3 conv -> [norm, SiLU, 1x1 conv] x dense -> 2 blocks -> [blocks, double] x (stages - 1) -> blocks
      -> norm, SiLU, 3x3 conv -> shuffle(patch) -> [smooth] -> image

Differs from paper (MaskGIT's VQ-GAN, section 4.1): pixels may enter as patches, resolution is halved by a strided
convolution instead of average pooling, convolutions have biases, and a block begins as its shortcut. With
``style="maskgit"`` the layers are those of its published code; initial weights are PyTorch's defaults, not flax's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.nn.conv import ChannelNorm, Conv2d, Downsample, MaskGITBlock, Norm, ResidualBlock, Upsample


class Encoder(nn.Sequential):
    """(B, C, H, W) in [-1, 1] -> latents (B, d, H / downsampling, W / downsampling).

    Args:
        config: The tokenizer's shape.
        latents: Channels of the latents, d.
    """

    def __init__(self, config: TokenizerConfig, latents: int) -> None:
        widths, maskgit = config.widths, config.style == "maskgit"
        block, norm = _block(config), _NORMS[config.norm]
        stages: list[nn.Module] = [
            nn.PixelUnshuffle(config.patch) if config.patch > 1 else nn.Identity(),
            Conv2d(config.channels * config.patch**2, widths[0], 3, padding=1, bias=not maskgit),
        ]
        before = widths[0]
        for stage, width in enumerate(widths):
            for _ in range(config.encoder_blocks):
                stages.append(block(before, width))
                before = width
            if stage < len(widths) - 1:
                stages.append(nn.AvgPool2d(2) if maskgit else Downsample(width))
        stages += [block(before, before), block(before, before), *_dense(before, config.dense, norm)]
        stages += [norm(before), nn.SiLU(), Conv2d(before, latents, 1)]
        super().__init__(*stages)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, d, h, w)."""
        out: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return out


class Decoder(nn.Sequential):
    """Codes (B, d, h, w) -> (B, C, h * downsampling, w * downsampling), in [-1, 1] once trained.

    Args:
        config: The tokenizer's shape.
        latents: Channels of the codes, d.
    """

    def __init__(self, config: TokenizerConfig, latents: int) -> None:
        widths = config.widths[::-1]
        before = widths[0]
        block, norm = _block(config), _NORMS[config.norm]
        stages: list[nn.Module] = [Conv2d(latents, before, 3, padding=1), *_dense(before, config.dense, norm)]
        stages += [block(before, before), block(before, before)]
        for stage, width in enumerate(widths):
            for _ in range(config.decoder_blocks):
                stages.append(block(before, width))
                before = width
            if stage < len(widths) - 1:
                stages.append(Upsample(width))
        stages += [
            norm(before),
            nn.SiLU(),
            Conv2d(before, config.channels * config.patch**2, 3, padding=1),
            nn.PixelShuffle(config.patch) if config.patch > 1 else nn.Identity(),
        ]
        if config.smooth:
            stages.append(Smooth(config.channels, config.smooth))
        super().__init__(*stages)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, C, H, W)."""
        out: Tensor = super().forward(codes)  # type: ignore[no-untyped-call]
        return out


class Smooth(nn.Module):
    """``x + conv(silu(conv(x)))`` over pixels, by 5x5 convolutions; it begins as its shortcut.

    The squares of the layer before know nothing of each other, so that their borders are seen as a pattern; this layer
    sees across borders. It costs 50 * channels * width multiplications a pixel.

    Args:
        channels: Channels of the image.
        width: Channels between the convolutions.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, width, 5, padding=2)
        self.conv2 = Conv2d(width, channels, 5, padding=2)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        smoothed: Tensor = self.conv2(F.silu(self.conv1(x)))
        return x + smoothed


_NORMS: Final[dict[str, type[Norm | ChannelNorm]]] = {"group": Norm, "channel": ChannelNorm}


def _block(config: TokenizerConfig) -> Callable[[int, int], nn.Module]:
    """What makes a residual block, from its widths."""
    return MaskGITBlock if config.style == "maskgit" else partial(ResidualBlock, norm=_NORMS[config.norm])


def _dense(width: int, count: int, norm: type[Norm | ChannelNorm]) -> list[nn.Module]:
    """Layers that see one place each; the same on both sides of the bottleneck."""
    return [layer for _ in range(count) for layer in (norm(width), nn.SiLU(), Conv2d(width, width, 1))]
