"""The vision transformer that looks at the picture.

    picture (B, C, H, W) -> patches -> x + position -> blocks (nn/vit.py) -> norm -> features (B, h w, D)

Parameters carry the names that timm's models have, so that trained weights can be taken up (``pretrained.py``). There
is no class token: nobody asks for one vector of the whole picture.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020 (arXiv 2010.11929), section 3.1.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from gridcode.domains.dense.prior.config import ImageEncoderConfig
from gridcode.nn.conv import Conv2d
from gridcode.nn.module import scaled_normal_, scaled_vectors_
from gridcode.nn.vit import LAYER_NORM_EPS, ViTBlock


class PatchEmbedding(nn.Module):
    """Each patch's pixels through one linear layer.

    Args:
        channels: C.
        width: Features per patch, D.
        patch: Pixels per patch, P, a side.
    """

    def __init__(self, channels: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.proj = Conv2d(channels, width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h w, D), row by row."""
        features: Tensor = self.proj(images)
        return features.flatten(2).transpose(1, 2)


@final
class ImageEncoder(nn.Module):
    """A picture's features, patch by patch.

    Args:
        config: Patch, width and depth.
        channels: C of the pictures.
        shape: Height and width of the pictures.

    Raises:
        GridcodeError: A side is not a multiple of the patch.

    >>> encoder = ImageEncoder(ImageEncoderConfig(width=16, depth=1, heads=2, mlp=32), 3, (16, 32))
    >>> encoder(torch.zeros(2, 3, 16, 32)).shape
    torch.Size([2, 8, 16])
    """

    def __init__(self, config: ImageEncoderConfig, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.grid = config.grid(*shape)
        self.patch_embed = PatchEmbedding(channels, config.width, patch=config.patch)
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], config.width))
        self.blocks = nn.ModuleList(ViTBlock(config.width, config.heads, mlp=config.mlp) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        scaled_normal_(self)
        scaled_vectors_(self.pos_embed)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures in [-1, 1], (B, C, H, W) -> (B, h w, D)."""
        x = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm(x)
        return features
