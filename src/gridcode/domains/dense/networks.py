r"""Encoder and decoder of label maps: vision transformers on patches, with the picture as context in both.

    labels -> patches ─┐                                                                  ┌─> resize -> head -> latents
    picture -> patches ┴> + positions -> blocks -> norm ─── patch grid to code grid ──────┘

    codes -> linear, null where dropped -> resize ─┐                                      ┌─> heads -> values of pixels
    picture -> patches ────────────────────────────┴> + positions -> blocks -> norm ──────┘

Every channel of labels has an embedding and a head of its own; embeddings and picture add up. Heads begin at zero.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), section 4.1 and published code.
Differs from paper: a dropped code is a learned vector instead of zero (``code_dropout.py``); initial weights are
smaller, as in our other transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridcode.domains.dense.config import LabelTokenizerConfig
from gridcode.domains.dense.patches import make_embeddings
from gridcode.domains.dense.resize import resize_grid
from gridcode.nn.conv import Conv2d
from gridcode.nn.transformer import truncated_normal_
from gridcode.nn.vit import LAYER_NORM_EPS, ViTBlock


@dataclass(frozen=True)
class LabelShape:
    """What the networks must know of the labels and the pictures beside them.

    Attributes:
        groups: Number of values K of each channel of labels; () for RGB values.
        context_channels: Channels of the picture; 0 where it is not looked at.
        height: Pixels of a map, downwards.
        width: Pixels of a map, across.
    """

    groups: tuple[int, ...]
    context_channels: int
    height: int
    width: int

    @property
    def outputs(self) -> tuple[int, ...]:
        """Values that the decoder writes for a pixel, for each of its heads."""
        return self.groups or (3,)


class LabelEncoder(nn.Module):
    """Labels (B, c, H, W) and pictures (B, C, H, W) in [-1, 1] -> latents (B, d, *codes).

    Args:
        config: The tokenizer's shape.
        shape: The labels' and the pictures'.
        latents: Channels of the latents, d.

    >>> shape = LabelShape(groups=(9, 4), context_channels=3, height=16, width=32)
    >>> encoder = LabelEncoder(LabelTokenizerConfig(width=16, encoder_depth=1, codes=(2, 3)), shape, 5)
    >>> encoder(torch.zeros(1, 2, 16, 32, dtype=torch.int64), torch.zeros(1, 3, 16, 32)).shape
    torch.Size([1, 5, 2, 3])
    """

    def __init__(self, config: LabelTokenizerConfig, shape: LabelShape, latents: int) -> None:
        super().__init__()
        self.codes = config.codes
        self.embeddings = make_embeddings(shape.groups, config.width, patch=config.patch)
        self.trunk = _Trunk(config, shape, config.encoder_depth)
        self.head = Conv2d(config.width, latents, 1)

    def forward(self, labels: Tensor, images: Tensor | None) -> Tensor:
        """Labels as :class:`Tokenizer` takes them; pictures where there is a context."""
        channels = (labels,) if labels.is_floating_point() else labels.unbind(1)
        embedded = [embed(channel) for embed, channel in zip(self.embeddings, channels, strict=True)]
        x = torch.stack(embedded).sum(0) if len(embedded) > 1 else embedded[0]
        latents: Tensor = self.head(resize_grid(self.trunk(x, images), self.codes))
        return latents


class LabelDecoder(nn.Module):
    """Codes (B, d, *codes) and pictures (B, C, H, W) in [-1, 1] -> of each head (B, N, P^2, K).

    Args:
        config: The tokenizer's shape.
        shape: The labels' and the pictures'.
        latents: Channels of the codes, d.

    >>> shape = LabelShape(groups=(9, 4), context_channels=3, height=16, width=32)
    >>> decoder = LabelDecoder(LabelTokenizerConfig(width=16, decoder_depth=1, codes=(2, 3)), shape, 5)
    >>> [logits.shape for logits in decoder(torch.zeros(1, 5, 2, 3), torch.zeros(1, 3, 16, 32))]
    [torch.Size([1, 8, 64, 9]), torch.Size([1, 8, 64, 4])]
    """

    def __init__(self, config: LabelTokenizerConfig, shape: LabelShape, latents: int) -> None:
        super().__init__()
        self.grid = config.patches(shape.height, shape.width)
        self.pixels = config.patch**2
        self.stem = Conv2d(latents, config.width, 1)
        self.null = nn.Parameter(torch.empty(config.width))
        nn.init.trunc_normal_(self.null, std=0.02, a=-0.04, b=0.04)
        self.trunk = _Trunk(config, shape, config.decoder_depth)
        self.heads = nn.ModuleList(nn.Linear(config.width, self.pixels * values) for values in shape.outputs)
        for head in self.heads:
            for parameter in head.parameters():
                nn.init.zeros_(parameter)

    def forward(self, codes: Tensor, images: Tensor | None, dropped: Tensor | None = None) -> tuple[Tensor, ...]:
        """Where ``dropped``, bool (B, *codes), is true, the learned null stands for the code."""
        x = self.stem(codes)
        if dropped is not None:
            x = torch.where(dropped[:, None], self.null[:, None, None].to(x.dtype), x)
        x = self.trunk(resize_grid(x, self.grid), images).flatten(2).transpose(1, 2)
        return tuple(head(x).unflatten(2, (self.pixels, -1)) for head in self.heads)


class _Trunk(nn.Module):
    """Features of patches, and the picture, through a transformer: (B, D, h, w) -> (B, D, h, w)."""

    def __init__(self, config: LabelTokenizerConfig, shape: LabelShape, depth: int) -> None:
        super().__init__()
        D, grid = config.width, config.patches(shape.height, shape.width)
        self.context: Conv2d | None = None
        if shape.context_channels:
            self.context = Conv2d(shape.context_channels, D, config.patch, stride=config.patch)
        self.positions = nn.Parameter(torch.empty(1, D, *grid))
        nn.init.trunc_normal_(self.positions, std=0.02, a=-0.04, b=0.04)
        self.blocks = nn.ModuleList(ViTBlock(D, config.heads, mlp=config.mlp) for _ in range(depth))
        truncated_normal_(self.blocks)
        self.norm = nn.LayerNorm(D, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, images: Tensor | None) -> Tensor:
        x = x + self.positions
        if self.context is not None:
            x = x + self.context(images)
        h, w = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x).transpose(1, 2).unflatten(2, (h, w))
        return out
