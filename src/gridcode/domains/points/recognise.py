"""A small classifier of clouds, trained to measure: is what comes back, or what was generated, what it should be?

    (B, N, 3) ─ waves ─ MLP of each point ─ maximum over points ─ MLP ─> (B, K) logits

This is PointNet (Qi et al. 2017) without its learned rotations. It learns from clouds whose points are moved by some
noise, so that it goes by the shape and not by how smooth a surface is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.domains.points.data.loader import PointsBatch
from gridcode.domains.points.networks import waves
from gridcode.errors import GridcodeError
from gridcode.features.train import train_network
from gridcode.training.seeding import generator

NOISE = 0.02
"""Standard deviation of the noise, beside a cloud's radius of at most 1."""
_OCTAVES = 2


@dataclass(frozen=True)
class RecogniserConfig:
    """The classifier and how it is trained."""

    classes: int
    """At least 2."""
    width: int = 128
    """Features of a point."""
    steps: int = 400
    """Optimiser steps."""
    lr: float = 3e-3
    """Peak learning rate."""
    seed: int = 0
    """Seeds weights and noise."""


class Recogniser(nn.Module):
    """Clouds to class logits.

    Args:
        config: The shape.

    >>> Recogniser(RecogniserConfig(5)).eval()(torch.zeros(2, 9, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        half, width = config.width // 2, config.width
        self.points = nn.Sequential(
            nn.Linear(3 * (1 + 2 * _OCTAVES), half), nn.GELU(), nn.Linear(half, half), nn.GELU(), nn.Linear(half, width)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.classes)
        )

    def forward(self, clouds: Tensor) -> Tensor:
        """(B, N, 3) -> (B, K)."""
        logits: Tensor = self.head(self.points(waves(clouds, _OCTAVES)).amax(1))
        return logits


def train_recogniser(config: RecogniserConfig, batches: Iterator[PointsBatch]) -> Recogniser:
    """Train on at least ``config.steps`` batches.

    Raises:
        GridcodeError: A cloud has no label, or the batches ended early.
    """

    def examples() -> Iterator[tuple[Tensor, Tensor]]:
        for step, batch in enumerate(batches):
            if int(batch.labels.min()) < 0:
                raise GridcodeError(f"{batch.keys[0]}: a classifier learns from clouds with classes; this one has none")
            noise = torch.randn(batch.points.shape, generator=generator(config.seed, "noise", step))
            yield batch.points + NOISE * noise, batch.labels

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=0.05)

    trained = train_network(lambda: Recogniser(config), config, examples(), loss, None, torch.device("cpu"))
    return trained.eval()


@torch.inference_mode()
def recognised(recogniser: Recogniser, clouds: Tensor, batch_size: int = 100) -> Tensor:
    """The class of each cloud (B, N, 3) by the classifier, int64 (B,)."""
    parts: Iterable[Tensor] = torch.split(clouds, batch_size)
    return torch.cat([recogniser(part).argmax(1) for part in parts])
