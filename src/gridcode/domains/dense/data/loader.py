"""Batches of images with label maps, for training without end and for evaluation once through.

As in :mod:`gridcode.data.workers`, image number p of a training stream and its crop depend on (seed, p) alone, so a
stream resumes at any step at no cost and does not depend on the number of workers. An unreadable file stops it: a
missing label is an error in the data set, not an accident of one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.workers import TrainOrder, eval_stream, examples_at, fetch_in_order, useful_workers
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.geometry import center_region, resize_image, train_region
from gridcode.domains.dense.data.open import make_label_map
from gridcode.domains.dense.data.source import DenseExample, DenseSource, LabelMap
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class DenseBatch:
    """Images with label maps, ready for a model.

    >>> DenseBatch(torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4).long(), torch.ones(1, 1, 4, 4), ("a",)).keys
    ('a',)
    """

    images: Tensor
    """What the model sees: float32 in [-1, 1], (B, C, H, W); C is 1 for colour, else 3."""
    labels: Tensor
    """What it writes: int64 (B, groups, H, W), or for colour float32 in [-1, 1], (B, 3, H, W)."""
    planes: Tensor
    """The truth as the metrics want it, (B, n, H, W): float32 depth, int32 class, instance, crowd, or uint8 RGB."""
    keys: tuple[str, ...]
    """The images' names in their source."""


def crop_example(
    example: DenseExample, label_map: LabelMap, config: DenseConfig, generator: np.random.Generator | None
) -> DenseExample:
    """Image and label map, cut and resized alike.

    Args:
        example: As a source gives it.
        label_map: How its labels are resized.
        config: The size and, for training, the crop policy.
        generator: Of a random crop; None takes the centre.

    >>> from gridcode.domains.dense.data.scenes import DenseScenes
    >>> example = DenseScenes("depth", seed=0, start=0, count=1, size=16)[0]
    >>> config = DenseConfig(height=6, width=8)
    >>> crop_example(example, make_label_map(config, None), config, None).image.shape
    (6, 8, 3)
    """
    shape = (example.image.shape[0], example.image.shape[1])
    region = (
        center_region(shape, config.shape)
        if generator is None
        else train_region(shape, config.shape, policy=config.crop, generator=generator)
    )
    image = resize_image(region.cut(example.image), *config.shape)
    planes = label_map.resize(region.cut(example.planes, axis=1), *config.shape)
    return DenseExample(image, planes, example.key)


def dense_train_batches(source: DenseSource, config: DenseConfig, order: TrainOrder) -> Iterator[DenseBatch]:
    """Batches for training, without end; every image comes once an epoch.

    Args:
        source: Images with label maps.
        config: Task, size, crop policy and workers.
        order: Size of a batch, order and crops, and which slice of each batch is this process's.

    Returns:
        The batches. Worker processes start once and end with the iterator.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or a file cannot be read.

    >>> from gridcode.domains.dense.data.open import open_dense
    >>> config = DenseConfig(task="panoptic", height=16, width=16, train_count=10)
    >>> batch = next(dense_train_batches(open_dense(config, "train"), config, TrainOrder(batch_size=4, seed=0)))
    >>> tuple(batch.images.shape), tuple(batch.labels.shape)
    ((4, 3, 16, 16), (4, 2, 16, 16))
    """
    workers = useful_workers(config.workers, in_memory=source.in_memory)
    return fetch_in_order(_Fetch(source, config, seed=order.seed), order.positions(), workers)


def dense_eval_batches(source: DenseSource, config: DenseConfig, *, batch_size: int) -> Iterator[DenseBatch]:
    """Batches for evaluation: every image once, in order, centre crop, never mirrored.

    Args:
        source: Images with label maps.
        config: Task, size and workers.
        batch_size: Images a batch; the last one may be smaller.

    Raises:
        GridcodeError: ``batch_size`` is below 1, the source is empty, or a file cannot be read.

    >>> from gridcode.domains.dense.data.open import open_dense
    >>> config = DenseConfig(height=8, width=8, val_count=5)
    >>> [len(batch.keys) for batch in dense_eval_batches(open_dense(config, "val"), config, batch_size=4)]
    [4, 1]
    """
    workers = useful_workers(config.workers, in_memory=source.in_memory)
    fetch = _Fetch(source, config, seed=None)
    return eval_stream(fetch, total=len(source), workers=workers, batch_size=batch_size)


class _Fetch(Dataset[DenseBatch | GridcodeError]):
    """Maps a run of positions to a batch; it runs in the worker processes."""

    def __init__(self, source: DenseSource, config: DenseConfig, *, seed: int | None) -> None:
        if not len(source):
            raise GridcodeError(f"{source.name}: no images; check the source")
        self._source = source
        self._config = config
        self._seed = seed
        self._map = make_label_map(config, source.categories)

    def __getitem__(self, positions: range) -> DenseBatch | GridcodeError:
        try:
            examples = [
                crop_example(self._source[index], self._map, self._config, generator)
                for index, generator in examples_at(positions, count=len(self._source), seed=self._seed)
            ]
        except GridcodeError as error:
            return error.with_traceback(None)
        contexts = np.stack([self._map.context(example.image).transpose(2, 0, 1) for example in examples])
        labels = np.stack([self._map.encode(example.planes) for example in examples])
        planes = np.stack([example.planes for example in examples])
        return DenseBatch(
            images=torch.from_numpy(contexts).to(torch.float32).div_(127.5).sub_(1.0),
            labels=torch.from_numpy(labels),
            planes=torch.from_numpy(planes),
            keys=tuple(example.key for example in examples),
        )
