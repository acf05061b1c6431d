"""How far reconstructions are from clouds, each figure for one cloud alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcode.domains.points.data.loader import PointsBatch
from gridcode.domains.points.distance import squares
from gridcode.tokenizer.labelled import there_and_back
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter

NEAR = 0.05
"""The distance of the F-score in validation."""


@dataclass(frozen=True)
class PointsScores:
    """The mean figures over clouds.

    Attributes:
        chamfer: Squared Chamfer distance.
        distance: Mean distance to the nearest neighbour in the other cloud, both directions.
        f_score: At the meter's distance, in [0, 1].
        usage: Of the codes.
    """

    chamfer: float
    distance: float
    f_score: float
    usage: TokenUsage


def distances(clouds: Tensor, others: Tensor, near: float) -> Tensor:
    """Chamfer distance, mean distance to the nearest point and F-score of clouds (B, N, 3) and others: (3, B)."""
    found = squares(others, clouds)
    return torch.stack([found.chamfer(), found.unsquared(), found.f_score(near)]).cpu()


class PointsMeter:
    """Adds up batches of clouds and their reconstructions.

    Args:
        tokenizer: Whose codes are counted.
        near: The distance of the F-score.
    """

    def __init__(self, tokenizer: Tokenizer, *, near: float = NEAR) -> None:
        self._near, self._codes = near, TokenUsageMeter(tokenizer.quantizer)
        self._found = list[Tensor]()

    def update(self, clouds: Tensor, reconstructions: Tensor, indices: Tensor) -> None:
        """Add clouds (B, N, 3), their reconstructions and their tokens."""
        self._codes.update(indices)
        self._found.append(distances(clouds, reconstructions, self._near))

    def compute(self) -> PointsScores:
        """The means so far."""
        chamfer, distance, f_score = torch.cat(self._found, 1).mean(1).tolist()
        return PointsScores(chamfer, distance, f_score, self._codes.compute())


def measure_reconstructions(tokenizer: Tokenizer, batches: Iterable[PointsBatch]) -> PointsScores:
    """Send clouds through a tokenizer in evaluation mode and back, and measure."""
    meter = PointsMeter(tokenizer)
    there_and_back(tokenizer, batches, meter.update)
    return meter.compute()
