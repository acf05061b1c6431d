"""Encoder and decoder of point clouds.

    (B, N, 3) ─ sort ─ waves ─ MLP of each point ──┐ keys, values
    M learned queries ──────────[ self, cross, MLP ] x depth ─ linear ─> (B, d, 1, M)

    (B, d, 1, M) ─ linear ─ [ self, MLP ] ─────────┐ keys, values
    N places on charts ─ waves ─────────[ cross, MLP ] x depth ─ linear ─> (B, N, 3)

Both are built from the shape and from d, the channels of the latents.

The encoder is a Perceiver (Jaegle et al. 2021): a weighted mean over points does not know their order. Rounding does,
where a sum is close to a step of the quantizer, so the points are sorted first: any order gives the same tokens, to the
last bit.

The decoder folds a template (FoldingNet, Yang et al. 2018), of several charts (AtlasNet, Groueix et al. 2018): a point
is told the number of its chart and its place (u, v) there, and looks at the tokens for where to go. Places follow a
fixed sequence that fills each chart evenly however long it gets. So the same tokens give the same points, a tokenizer
decodes to any number of them, and neighbours on a chart stay neighbours. One learned vector a point would fix N;
noise as a query would leave gaps. Several charts, because one cannot close around the hole of a torus.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from gridcode.domains.points.config import CloudConfig
from gridcode.nn.cross import CrossAttention, DecoderBlock, Memory
from gridcode.nn.vit import LAYER_NORM_EPS, ViTBlock, ViTMLP


def sorted_points(points: Tensor) -> Tensor:
    """Clouds (B, N, 3) with their points in the order of x, then y, then z.

    >>> sorted_points(torch.tensor([[[1.0, 0, 0], [0, 2, 1], [0, 1, 5]]])).tolist()
    [[[0.0, 1.0, 5.0], [0.0, 2.0, 1.0], [1.0, 0.0, 0.0]]]
    """
    for axis in (2, 1, 0):
        order = points[..., axis].argsort(dim=1, stable=True)
        points = points.gather(1, order[..., None].expand(-1, -1, 3))
    return points


def waves(x: Tensor, octaves: int) -> Tensor:
    """Coordinates (…, c) in [-1, 1] with sine and cosine at half a wave, one, two, …: (…, c (1 + 2 octaves)).

    >>> waves(torch.zeros(2, 3), 4).shape
    torch.Size([2, 27])
    """
    angles = (x[..., None] * (pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype))).flatten(-2)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


def template(points: int, charts: int) -> Tensor:
    """Chart number and place (u, v) in [-1, 1] of each point to decode, (N, 3): the charts in turn.

    The places of a chart are a Kronecker sequence, whose first n lie evenly for every n (Roberts 2018, R2).

    >>> template(5, 2)[:, 0].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """
    number = torch.arange(points, dtype=torch.int64)
    turn = torch.div(number, charts, rounding_mode="floor")
    plastic = 1.32471795724474602596
    # Whole numbers modulo 2^32 keep the sequence exact however long it is, without float64.
    steps = torch.tensor([round(2**32 / plastic), round(2**32 / plastic**2)])
    places = ((turn[:, None] * steps + 2**31) % 2**32).to(torch.float32) / 2.0**31 - 1
    return torch.cat([(number % charts)[:, None].to(torch.float32), places], 1)


class Encoder(nn.Module):
    """Clouds (B, N, 3) to latents (B, d, 1, M)."""

    def __init__(self, config: CloudConfig, latents: int) -> None:
        super().__init__()
        self.octaves, width = config.frequencies, config.width
        inputs = 3 * (1 + 2 * config.frequencies)
        self.stem = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width))
        self.queries = nn.Parameter(torch.randn(config.tokens, width))
        self.blocks = nn.ModuleList(
            DecoderBlock(width, config.heads, mlp=4 * width, memory=width, dropout=0.0, causal=False)
            for _ in range(config.encoder_depth)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, latents))

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 3) -> (B, d, 1, M)."""
        features = self.stem(waves(sorted_points(points), self.octaves))
        x = self.queries.expand(len(points), -1, -1)
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            x = block(x, block.cross.keys_and_values(features))
        latents: Tensor = self.head(x)
        return latents.mT.unsqueeze(2)


class PointBlock(nn.Module):
    """``x <- x + cross(norm(x), memory);  x <- x + mlp(norm(x))``: points look at the tokens, not at each other.

    Args:
        width: Features per point and per token of the memory, D.
        heads: Attention heads.

    >>> block = PointBlock(16, 4)
    >>> block(torch.zeros(2, 9, 16), block.cross.keys_and_values(torch.zeros(2, 5, 16))).shape
    torch.Size([2, 9, 16])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.cross = CrossAttention(width, heads, memory=width)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = ViTMLP(width, 2 * width)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.cross(self.norm1(x), memory)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Decoder(nn.Module):
    """Codes (B, d, 1, M) to clouds (B, N, 3)."""

    def __init__(self, config: CloudConfig, latents: int) -> None:
        super().__init__()
        self.octaves, width = config.frequencies, config.width
        self.stem = nn.Linear(latents, width)
        self.positions = nn.Parameter(torch.randn(config.tokens, width))
        self.mix = nn.Sequential(ViTBlock(width, config.heads, mlp=4 * width), nn.LayerNorm(width))
        self.charts = nn.Parameter(torch.randn(config.charts, width))
        self.place = nn.Linear(2 * (1 + 2 * config.frequencies), width)
        self.blocks = nn.ModuleList(PointBlock(width, config.heads) for _ in range(config.decoder_depth))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, codes: Tensor, places: Tensor) -> Tensor:
        """(B, d, 1, M) and a template (N, 3) -> (B, N, 3)."""
        memory, places = self.mix(self.stem(codes.squeeze(2).mT) + self.positions), places.to(codes.device)
        x = (self.charts[places[:, 0].long()] + self.place(waves(places[:, 1:], self.octaves))).expand(
            len(codes), -1, -1
        )
        for block in self.blocks:
            assert isinstance(block, PointBlock)
            x = block(x, block.cross.keys_and_values(memory))
        points: Tensor = self.head(x)
        return points
