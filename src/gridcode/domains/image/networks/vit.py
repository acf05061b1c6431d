"""Encoder and decoder as vision transformers: a token for each patch of the image.

    image -> patches -> linear -> + positions -> blocks -> norm -> linear -> latents
    codes -> linear -> + positions -> blocks -> norm -> linear -> patches -> image

Reference: Yu et al., "Vector-quantized Image Modeling with Improved VQGAN", 2021 (arXiv 2110.04627), section 3.1;
Kolesnikov et al., "UViM", 2022 (arXiv 2205.10337), whose Stage I the paper uses (section 4.4).

Differs from ViT-VQGAN: codes go into the decoder as they are, a head is one linear layer, and positions may be
interpolated, so that images of any multiple of the patch pass.
"""

from __future__ import annotations

from torch import Tensor, nn

from gridcode.domains.image.architectures import ViTConfig
from gridcode.nn.conv import Conv2d
from gridcode.nn.transformer import truncated_normal_
from gridcode.nn.vit import LAYER_NORM_EPS, GridPositions, ViTBlock


class ViTEncoder(nn.Module):
    """(B, C, H, W) in [-1, 1] -> latents (B, d, H / patch, W / patch).

    Args:
        config: The tokenizer's shape.
        latents: Channels of the latents, d.

    >>> import torch
    >>> ViTEncoder(ViTConfig(width=16, encoder_depth=1), 4)(torch.zeros(2, 3, 16, 24)).shape
    torch.Size([2, 4, 2, 3])
    """

    def __init__(self, config: ViTConfig, latents: int) -> None:
        super().__init__()
        self.patches = Conv2d(config.channels, config.width, config.patch, stride=config.patch)
        self.positions = GridPositions(config.width, side=config.side)
        self.blocks = _blocks(config, config.encoder_depth)
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        self.head = nn.Linear(config.width, latents)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, d, h, w)."""
        x = self.patches(images)
        out: Tensor = self.head(_features(self, x)).transpose(1, 2).unflatten(2, x.shape[-2:])
        return out


class ViTDecoder(nn.Module):
    """Codes (B, d, h, w) -> (B, C, h * patch, w * patch), in [-1, 1] once trained.

    Args:
        config: The tokenizer's shape.
        latents: Channels of the codes, d.

    >>> import torch
    >>> ViTDecoder(ViTConfig(width=16, decoder_depth=1), 4)(torch.zeros(2, 4, 2, 3)).shape
    torch.Size([2, 3, 16, 24])
    """

    def __init__(self, config: ViTConfig, latents: int) -> None:
        super().__init__()
        self.codes = Conv2d(latents, config.width, 1)
        self.positions = GridPositions(config.width, side=config.side)
        self.blocks = _blocks(config, config.decoder_depth)
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        self.head = nn.Linear(config.width, config.channels * config.patch**2)
        self.shuffle = nn.PixelShuffle(config.patch)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, C, H, W)."""
        x = self.codes(codes)
        out: Tensor = self.shuffle(self.head(_features(self, x)).transpose(1, 2).unflatten(2, x.shape[-2:]))
        return out


def _features(network: ViTEncoder | ViTDecoder, x: Tensor) -> Tensor:
    """Positions, blocks and norm: (B, D, h, w) -> (B, N, D)."""
    x = network.positions(x).flatten(2).transpose(1, 2)
    for block in network.blocks:
        x = block(x)
    out: Tensor = network.norm(x)
    return out


def _blocks(config: ViTConfig, depth: int) -> nn.ModuleList:
    blocks = nn.ModuleList(ViTBlock(config.width, config.heads, mlp=config.mlp) for _ in range(depth))
    truncated_normal_(blocks)
    return blocks
