"""The first VQ-GAN's encoder and decoder, layer by layer as published, so that its weights fit.

    image -> 3x3 conv -> level 0 -> halve -> level 1 -> … -> middle -> norm, SiLU, 3x3 conv -> 1x1 conv -> latents
    codes -> 1x1 conv -> 3x3 conv -> middle -> … -> level 1 -> double -> level 0 -> norm, SiLU, 3x3 conv -> image

    level: residual blocks, each followed by attention where the config says so
    middle: residual block, attention, residual block

Reference: Esser, Rombach & Ommer, "Taming Transformers for High-Resolution Image Synthesis", 2021 (arXiv 2012.09841),
and its code; diffusers' ``VQModel`` has the same layers under other names (``gridcode.convert``).

Differs from the published code: a new block begins as its shortcut; dropout, which its configs leave at 0, is not
there.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.image.vqgan_config import VQGANConfig
from gridcode.nn.attention import attend
from gridcode.nn.conv import Conv2d, Norm, ResidualBlock, Upsample


class VQGANEncoder(nn.Module):
    """(B, C, H, W) in [-1, 1] -> latents (B, d, H / downsampling, W / downsampling).

    Args:
        config: The tokenizer's shape.
        latents: Channels that the quantizer takes, d.

    >>> import torch
    >>> VQGANEncoder(VQGANConfig(widths=(32, 32)), 4)(torch.zeros(2, 3, 6, 8)).shape
    torch.Size([2, 4, 3, 4])
    """

    def __init__(self, config: VQGANConfig, latents: int) -> None:
        super().__init__()
        self.unit_range = config.unit_range
        before, last = config.widths[0], len(config.widths) - 1
        self.conv_in = Conv2d(config.channels, before, 3, padding=1)
        self.levels = nn.ModuleList()
        for level, width in enumerate(config.widths):
            resample = AsymmetricDownsample(width) if level < last else nn.Identity()
            attention = level in config.encoder_attention
            self.levels.append(
                Level(before, width, blocks=config.encoder_blocks, attention=attention, resample=resample)
            )
            before = width
        self.middle = _middle(config)
        self.norm_out = Norm(before)
        self.conv_out = Conv2d(before, config.latents, 3, padding=1)
        self.to_codes = Conv2d(config.latents, latents, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, d, h, w)."""
        x: Tensor = self.conv_in((images + 1) / 2 if self.unit_range else images)
        for level in self.levels:
            x = level(x)
        x = self.conv_out(F.silu(self.norm_out(self.middle(x))))
        out: Tensor = self.to_codes(x)
        return out


class VQGANDecoder(nn.Module):
    """Codes (B, d, h, w) -> (B, C, h * downsampling, w * downsampling), in [-1, 1] once trained.

    Args:
        config: The tokenizer's shape.
        latents: Channels of the codes, d.

    >>> import torch
    >>> VQGANDecoder(VQGANConfig(widths=(32, 32)), 4)(torch.zeros(2, 4, 3, 4)).shape
    torch.Size([2, 3, 6, 8])
    """

    def __init__(self, config: VQGANConfig, latents: int) -> None:
        super().__init__()
        self.unit_range = config.unit_range
        before = config.widths[-1]
        self.from_codes = Conv2d(latents, config.latents, 1)
        self.conv_in = Conv2d(config.latents, before, 3, padding=1)
        self.middle = _middle(config)
        self.levels = nn.ModuleList()
        for level, width in reversed([*enumerate(config.widths)]):
            resample = Upsample(width) if level else nn.Identity()
            attention = level in config.decoder_attention
            self.levels.append(
                Level(before, width, blocks=config.decoder_blocks, attention=attention, resample=resample)
            )
            before = width
        self.norm_out = Norm(before)
        self.conv_out = Conv2d(before, config.channels, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, C, H, W)."""
        x: Tensor = self.middle(self.conv_in(self.from_codes(codes)))
        for level in self.levels:
            x = level(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out * 2 - 1 if self.unit_range else out


class Level(nn.Module):
    """Residual blocks at one resolution, and the step to the next.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
        blocks: Residual blocks.
        attention: Attention after every block.
        resample: What comes last: halving, doubling or nothing.
    """

    def __init__(self, width_in: int, width_out: int, *, blocks: int, attention: bool, resample: nn.Module) -> None:
        super().__init__()
        widths = [width_in] + [width_out] * (blocks - 1)
        self.blocks = nn.ModuleList(ResidualBlock(width, width_out) for width in widths)
        self.attentions = nn.ModuleList(SpatialAttention(width_out) for _ in widths if attention)
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width_out, H / 2 or H or 2 H, and W likewise)."""
        for number, block in enumerate(self.blocks):
            x = block(x)
            if self.attentions:
                x = self.attentions[number](x)
        out: Tensor = self.resample(x)
        return out


class SpatialAttention(nn.Module):
    """``x + out(softmax(q k^T / sqrt(C)) v)``, every place looking at every place; q, k, v of ``norm(x)``, one head.

    Args:
        width: Channels, C.

    >>> import torch
    >>> SpatialAttention(32)(torch.zeros(2, 32, 4, 3)).shape
    torch.Size([2, 32, 4, 3])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Norm(width)
        self.q = Conv2d(width, width, 1)
        self.k = Conv2d(width, width, 1)
        self.v = Conv2d(width, width, 1)
        self.out = Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        h = self.norm(x)
        # (B, C, H, W) -> (B, 1, H W, C), the one head's rows
        q, k, v = (part(h).flatten(2).transpose(1, 2).unsqueeze(1) for part in (self.q, self.k, self.v))
        seen = attend(q, k, v).squeeze(1).transpose(1, 2).reshape(x.shape)
        out: Tensor = self.out(seen)
        return x + out


class AsymmetricDownsample(nn.Module):
    """Halves height and width (which are even): zeros at the right and below, then a 3x3 convolution of stride 2.

    >>> import torch
    >>> AsymmetricDownsample(4)(torch.zeros(1, 4, 8, 6)).shape
    torch.Size([1, 4, 4, 3])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


def _middle(config: VQGANConfig) -> nn.Sequential:
    width = config.widths[-1]
    attention = SpatialAttention(width) if config.middle_attention else nn.Identity()
    return nn.Sequential(ResidualBlock(width, width), attention, ResidualBlock(width, width))
