"""Batches of clouds: an endless training stream that any step can be resumed at, and one pass for evaluation.

The stream is that of :mod:`gridcode.data.workers`: training cloud number p and its points depend on (seed, p) alone. In
evaluation a cloud's points depend on (data.seed, its key).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridcode.data.labelled.fetch import Fetch, NamedExamples, Rows
from gridcode.data.workers import TrainOrder
from gridcode.domains.points.config import PointsConfig
from gridcode.domains.points.data.source import Cloud, CloudSource, Points, Surface
from gridcode.errors import FileError
from gridcode.training.seeding import derive_seed


@dataclass(frozen=True)
class PointsBatch(NamedExamples):
    """Clouds ready for a model.

    Attributes:
        points: float32 in the unit ball, (B, N, 3).
    """

    points: Tensor


def read_cloud(cloud: Cloud, generator: np.random.Generator | None, *, config: PointsConfig, draw: int = 0) -> Points:
    """``config.points`` points of a cloud, ready for a model, (N, 3).

    Args:
        cloud: The cloud.
        generator: Decides which points; None takes those of evaluation.
        config: How clouds are read.
        draw: Another number takes other points in evaluation.

    Raises:
        GridcodeError: The file cannot be read, or has too few points and ``config.fewer`` is 'refuse'.
    """
    generator = generator or np.random.default_rng(derive_seed(config.seed, "points", cloud.key, draw))
    found = cloud.shape.points(config.points, generator)
    if len(found) < config.points and config.fewer == "refuse":
        raise FileError(
            f"{cloud.key}: {len(found)} points, fewer than data.points={config.points}; set data.fewer=repeat to draw "
            "some of them twice"
        )
    if isinstance(cloud.shape, Surface):
        return found
    if config.normalise:
        found = normalised(found)
    return found[chosen(len(found), config.points, generator)]


def chosen(there: int, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which of ``there`` points to take: different ones, or where there are fewer all of them and some once more.

    >>> len(set(chosen(9, 4, np.random.default_rng(0)))), sorted(set(chosen(3, 7, np.random.default_rng(0)).tolist()))
    (4, [0, 1, 2])
    """
    rounds = [generator.permutation(there) for _ in range(-(-wanted // there))]
    return np.concatenate(rounds)[:wanted]


def normalised(points: Points) -> Points:
    """A cloud moved to mean 0 and scaled to the unit ball; one whose points are all alike becomes 0.

    >>> normalised(np.array([[0, 0, 1], [0, 0, 5]], np.float32)).tolist()
    [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]
    """
    wide = points.astype(np.float64)
    centred = wide - wide.mean(0)
    radius = np.sqrt(np.square(centred).sum(1).max())
    scaled: Points = (centred / (radius if radius > 0 else 1.0)).astype(np.float32)
    return scaled


def _batch(rows: Rows, *, count: int) -> PointsBatch:
    stacked = np.stack(rows.values) if rows.values else np.zeros((0, count, 3), np.float32)
    return PointsBatch(torch.from_numpy(stacked), **rows.beside())


def _fetch(source: CloudSource, config: PointsConfig, *, seed: int | None, draw: int = 0) -> Fetch[PointsBatch, Cloud]:
    read, batch = partial(read_cloud, config=config, draw=draw), partial(_batch, count=config.points)
    return Fetch(source, read, batch, seed=seed, on_error=config.on_error, nouns="clouds")


def train_batches(source: CloudSource, config: PointsConfig, order: TrainOrder) -> Iterator[PointsBatch]:
    """Batches in an order, without end.

    Raises:
        GridcodeError: The source is empty, or a cloud cannot be read.
    """
    return _fetch(source, config, seed=order.seed).without_end(order, workers=config.workers)


def eval_batches(source: CloudSource, config: PointsConfig, *, batch_size: int, draw: int = 0) -> Iterator[PointsBatch]:
    """Every cloud once, in order; with ``on_error="skip"`` those that can be read.

    Args:
        source: The clouds.
        config: How they are read.
        batch_size: Clouds at a time.
        draw: Another number takes other points of each.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or a cloud (or every cloud) cannot be read.
    """
    return _fetch(source, config, seed=None, draw=draw).once(batch_size=batch_size, workers=config.workers)
