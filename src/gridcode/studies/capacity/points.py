"""Points in the plane whose best partition into codes is far from a grid: does FSQ need a learned codebook there?

    two spirals    r = a / a_max, x = ± r (cos a, sin a), a from 0 to 1.75 turns, evenly along the arms; little noise
    ring           64 clusters on a circle, as many as there are codes

    points (B, 2) ──> encoder: MLP of n hidden layers ──> latents (B, 2) ──> FSQ (8, 8) or VQ of 64 ──> decoder: MLP

With a linear encoder FSQ's cells are a grid that is stretched and turned: most of its 64 cells hold no point. VQ's
cells go where the points are. A deep encoder can bend the points onto the grid. The VQ here is the strongest that there
is for so few channels: begun by k-means, moved by averages, dead codes replaced by latents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.vq import VQ, ByEMA, KMeans, RandomRestarts
from gridcode.studies.capacity.config import Target
from gridcode.training.seeding import derive_seed, generator

CODES: Final = 64
TURNS: Final = 1.75
NOISE: Final = 0.01
"""Standard deviation about the curve or the cluster's centre; the figures' radius is 1."""
WIDTH, BATCH, HELD_OUT = 64, 512, 20_000
LR: Final = 2e-3

PointQuantizer: TypeAlias = Literal["fsq", "vq"]


@dataclass(frozen=True)
class PointScores:
    """What a tokenizer makes of points it has not seen.

    Attributes:
        snr_db: Their variance over the squared error, in dB.
        usage: Share of the codes in use.
    """

    snr_db: float
    usage: float


def draw_points(target: Target, count: int, draw: torch.Generator) -> Tensor:
    """Points of a target, (count, 2).

    >>> draw_points("ring", 4, torch.Generator().manual_seed(0)).norm(dim=1).round(decimals=1)
    tensor([1., 1., 1., 1.])
    """
    if target == "ring":
        angle = torch.randint(CODES, (count,), generator=draw) * (2 * math.pi / CODES)
        radius = torch.ones(count)
    else:
        # The length of an arm up to the angle a grows about as a squared.
        share = torch.rand(count, generator=draw).sqrt()
        angle = share * (2 * math.pi * TURNS)
        radius = share * torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return points + NOISE * torch.randn(count, 2, generator=draw)


class PointTokenizer(nn.Module):
    """Encoder, quantizer and decoder of points.

    Args:
        quantizer: Of 2 channels.
        depth: Hidden layers of the encoder; 0 is linear. The decoder has two.
    """

    def __init__(self, quantizer: Quantizer, depth: int) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = _mlp(depth), quantizer, _mlp(2)

    def forward(self, points: Tensor) -> tuple[Tensor, Quantized]:
        """Points (B, 2) -> the same, decoded, and what the quantizer gave."""
        quantized: Quantized = self.quantizer(self.encoder(points))
        return self.decoder(quantized.codes), quantized


def train_points(target: Target, kind: PointQuantizer, depth: int, *, steps: int, seed: int) -> PointScores:
    """Train a tokenizer of points and measure it; the same arguments give the same scores.

    Args:
        target: The points.
        kind: The quantizer.
        depth: Hidden layers of the encoder.
        steps: Training steps of 512 new points each.
        seed: Of weights and points.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "points"))
        model = PointTokenizer(_quantizer(kind), depth)
        optimizer = torch.optim.Adam(model.parameters(), lr=LR)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            points = draw_points(target, BATCH, generator(seed, "points", step))
            decoded, quantized = model(points)
            loss = F.mse_loss(decoded, points) + quantized.loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        points = draw_points(target, HELD_OUT, generator("held-out points"))
        decoded, quantized = model(points)
    error = F.mse_loss(decoded, points)
    snr = 10 * torch.log10(points.var(0, correction=0).mean() / error)
    return PointScores(float(snr), len(quantized.indices.unique()) / CODES)


def _quantizer(kind: PointQuantizer) -> Quantizer:
    if kind == "fsq":
        return FSQ((8, 8))
    return VQ(CODES, 2, update=ByEMA(), revival=RandomRestarts(), start=KMeans())


def _mlp(depth: int) -> nn.Sequential:
    """2 -> 2 through hidden layers."""
    layers: list[nn.Module] = []
    for before in (2, *[WIDTH] * (depth - 1))[:depth]:
        layers += [nn.Linear(before, WIDTH), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH if depth else 2, 2))
