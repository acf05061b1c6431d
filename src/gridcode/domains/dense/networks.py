r"""Encoder and decoder of label maps: vision transformers on patches, with the image as context in both.

    labels -> patches ─┐                                                                  ┌─> resize -> head -> latents
    image -> patches ──┴> + positions -> blocks -> norm ─── patch grid to code grid ──────┘

    codes -> linear, null where dropped -> resize ─┐                                      ┌─> heads -> values of pixels
    image -> patches ──────────────────────────────┴> + positions -> blocks -> norm ──────┘

Every channel of labels has an embedding and a head of its own; embeddings and image add up. Heads begin at zero.

A label channel of K values enters one-hot for each pixel, through one linear layer for a whole patch of P x P pixels:

    x_n = sum over the patch's pixels p of W[p, label_p] + b,     W (P^2, K, D)

That is a look-up and a sum: :class:`LabelEmbedding` never makes the P^2 K zeros and ones of a patch. Values such as
colours enter through the usual convolution, which is the same linear layer on the values themselves.

Grids are resized by linear interpolation, widened where it shortens a side:

    W[i, j] = k((j + 1/2 - (i + 1/2) s) / max(s, 1)), each row divided by its sum;  s = length / wanted
    k(x) = max(0, 1 - |x|);  out = W_rows x W_columns^T

Rows of W add up to 1, so resizing commutes with any affine map of the vectors: which of the two comes first at the
bottleneck changes nothing but the cost.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), section 4.1 and published code, whose resize is the linear
one of JAX; ``F.interpolate(mode="bilinear", antialias=True)`` is it too, where PyTorch 2.13's CPU kernel is right.
Differs from paper: a dropped code is a learned vector instead of zero (``loss.py``);
initial weights are smaller, as in our other transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.dense.config import LabelTokenizerConfig
from gridcode.nn.conv import Conv2d
from gridcode.nn.transformer import truncated_normal_
from gridcode.nn.vit import LAYER_NORM_EPS, ViTBlock


def resize_grid(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """A grid of vectors at another size; the same tensor where the size is the same.

    Args:
        x: (B, D, h, w).
        shape: Rows and columns of the result.

    Returns:
        (B, D, rows, columns), computed in the dtype of ``x``.

    >>> resize_grid(torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]]), (1, 2))
    tensor([[[[0.7143, 2.2857]]]])
    """
    if tuple(x.shape[-2:]) == shape:
        return x
    down, across = (linear(now, wanted).to(x) for now, wanted in zip(x.shape[-2:], shape, strict=True))
    with torch.autocast(x.device.type, enabled=False):
        return down @ x @ across.mT


def linear(length: int, wanted: int) -> Tensor:
    """The matrix (wanted, length), float32 on the CPU, that resamples a row of values.

    >>> linear(4, 2)
    tensor([[0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286]])
    """
    scale = length / wanted
    centres = (torch.arange(wanted, dtype=torch.float64, device="cpu")[:, None] + 0.5) * scale
    places = torch.arange(length, dtype=torch.float64, device="cpu") + 0.5
    weights = (1 - (places - centres).abs() / max(scale, 1.0)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()


def to_patches(maps: Tensor, patch: int) -> Tensor:
    """Maps (B, c, H, W) as patches (B, c, N, P^2), patches and pixels in reading order.

    >>> to_patches(torch.arange(8).view(1, 1, 2, 4), 2)
    tensor([[[[0, 1, 4, 5],
              [2, 3, 6, 7]]]])
    """
    B, c, H, W = maps.shape
    cut = maps.reshape(B, c, H // patch, patch, W // patch, patch).transpose(3, 4)
    return cut.reshape(B, c, (H // patch) * (W // patch), patch * patch)


def to_maps(values: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """A decoder's values (B, N, P^2, K) as maps (B, K, H, W).

    >>> to_maps(torch.arange(8).view(1, 2, 4, 1), (1, 2), 2)
    tensor([[[[0, 1, 4, 5],
              [2, 3, 6, 7]]]])
    """
    B, K, (h, w) = len(values), values.shape[-1], grid
    maps = values.reshape(B, h, w, patch, patch, K).permute(0, 5, 1, 3, 2, 4)
    return maps.reshape(B, K, h * patch, w * patch)


@final
class LabelEmbedding(nn.Module):
    """One channel of labels in [0, K), as a linear layer on its one-hot patches.

    Args:
        values: K.
        width: Features per patch, D.
        patch: Pixels per patch, P, a side.

    >>> LabelEmbedding(5, 16, patch=4)(torch.zeros(2, 8, 12, dtype=torch.int64)).shape
    torch.Size([2, 16, 2, 3])
    """

    def __init__(self, values: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.values, self.patch = values, patch
        self.weight = nn.Parameter(torch.empty(patch * patch * values, width))
        # A patch adds up P^2 rows: features of variance 1.
        nn.init.normal_(self.weight, std=1 / patch)

    def forward(self, labels: Tensor) -> Tensor:
        """int64 (B, H, W) -> (B, D, H / P, W / P), float32."""
        patches = to_patches(labels[:, None], self.patch)[:, 0]
        rows = patches + self.values * torch.arange(patches.shape[-1], device=labels.device)
        features = F.embedding_bag(rows.flatten(0, 1), self.weight, mode="sum")
        B, H, W = labels.shape
        return features.view(B, H // self.patch, W // self.patch, -1).permute(0, 3, 1, 2)


def make_embeddings(groups: tuple[int, ...], width: int, *, patch: int) -> nn.ModuleList:
    """What embeds each channel of labels, or all channels of colours at once.

    Args:
        groups: K of each channel; () for RGB values.
        width: D.
        patch: P.

    Returns:
        One :class:`LabelEmbedding` a channel, or one convolution.
    """
    if not groups:
        return nn.ModuleList([Conv2d(3, width, patch, stride=patch)])
    return nn.ModuleList(LabelEmbedding(values, width, patch=patch) for values in groups)


@dataclass(frozen=True)
class LabelShape:
    """What the networks must know of the labels and the images beside them.

    Attributes:
        groups: Number of values K of each channel of labels; () for RGB values.
        context_channels: Channels of the image; 0 where it is not looked at.
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
    """Labels (B, c, H, W) and images (B, C, H, W) in [-1, 1] -> latents (B, d, *codes).

    Args:
        config: The tokenizer's shape.
        shape: The labels' and the images'.
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
        """Labels as :class:`Tokenizer` takes them; images where there is a context."""
        channels = (labels,) if labels.is_floating_point() else labels.unbind(1)
        embedded = [embed(channel) for embed, channel in zip(self.embeddings, channels, strict=True)]
        x = torch.stack(embedded).sum(0) if len(embedded) > 1 else embedded[0]
        latents: Tensor = self.head(resize_grid(self.trunk(x, images), self.codes))
        return latents


class LabelDecoder(nn.Module):
    """Codes (B, d, *codes) and images (B, C, H, W) in [-1, 1] -> of each head (B, N, P^2, K).

    Args:
        config: The tokenizer's shape.
        shape: The labels' and the images'.
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
    """Features of patches, and the image, through a transformer: (B, D, h, w) -> (B, D, h, w)."""

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
