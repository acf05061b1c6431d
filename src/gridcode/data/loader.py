"""Batches of images: an endless training stream that any step can be resumed at, and one pass for evaluation.

Training image number p (its *position*) depends on (seed, p) alone: with n images, epoch e = p // n, it is
image permutation(seed, e)[p mod n], cropped by a generator seeded with (seed, p). A batch is a run of
positions. So the stream is the same with any number of worker processes, and step k starts at position k *
batch_size:

    positions ──> [ workers: decode, crop, mirror, stack uint8 ] ──> float32 in [-1, 1] ──> Batch

A worker gets a whole batch's positions at once and sends back bytes, four times smaller than floats.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import torch
from torch import Tensor

from gridcode.data.config import DataConfig
from gridcode.data.fetch import Chunk, Fetch
from gridcode.data.source import ImageSource
from gridcode.data.workers import fetch_in_order, useful_workers
from gridcode.errors import FileError, GridcodeError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Images ready for a model.

    >>> Batch(images=torch.zeros(2, 3, 8, 8), labels=torch.tensor([4, -1]), keys=("a", "b")).skipped
    ()
    """

    images: Tensor
    """float32 in [-1, 1], (B, C, H, W)."""
    labels: Tensor
    """int64, (B,); -1 where an image has no label."""
    keys: tuple[str, ...]
    """The images' names in their source, B of them."""
    skipped: tuple[str, ...] = ()
    """One message for each image that could not be read on the way to this batch (``on_error="skip"``)."""


def train_batches(
    source: ImageSource,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Batches for training, without end.

    Every image comes once an epoch; a batch may straddle two epochs. An unreadable image stops the stream,
    or, with ``on_error="skip"``, the next readable one of the source takes its place.

    Args:
        source: The images.
        config: Size, channels, crop policy, workers and what to do at an unreadable image.
        batch_size: Images a step, over all ranks; a multiple of ``world``.
        seed: Decides the order and the crops, together with each image's position in the stream.
        start_step: Number of batches to leave out, at no cost: the stream of a run resumed at that step.
        rank: Which contiguous slice of each batch to yield, 0 <= rank < world.
        world: Number of ranks that share a batch.

    Returns:
        The batches. Worker processes start once and end with the iterator.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or an image cannot be read.

    >>> from gridcode.data import DataConfig, open_split
    >>> config = DataConfig(size=16, train_count=10)
    >>> batch = next(train_batches(open_split(config, "train"), config, batch_size=4, seed=0))
    >>> tuple(batch.images.shape), len(batch.keys)
    ((4, 3, 16, 16), 4)
    """
    if batch_size < 1 or world < 1 or batch_size % world:
        raise GridcodeError(f"batch_size {batch_size} is not a positive multiple of the {world} processes; change it")
    if not 0 <= rank < world:
        raise GridcodeError(f"rank {rank} is not in [0, {world}); check the launcher's settings")
    if start_step < 0 or seed < 0:
        raise GridcodeError(f"start_step and seed must not be negative, not {start_step} and {seed}")
    share = batch_size // world
    starts = (step * batch_size + rank * share for step in count(start_step))
    fetch = Fetch(source, config, seed=seed)
    return _train_stream(
        fetch_in_order(
            fetch,
            (range(start, start + share) for start in starts),
            useful_workers(config.workers, in_memory=source.in_memory),
        )
    )


def eval_batches(source: ImageSource, config: DataConfig, *, batch_size: int) -> Iterator[Batch]:
    """Batches for evaluation: every image once, in order, centre crop, never mirrored.

    With ``on_error="skip"`` an unreadable image is left out, so that a batch may be smaller but no key comes
    twice.

    Args:
        source: The images.
        config: Size, channels, workers and what to do at an unreadable image.
        batch_size: Images a batch; the last one may be smaller.

    Returns:
        The batches.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or an image (or every image) cannot be
        read.

    >>> from gridcode.data import DataConfig, open_split
    >>> config = DataConfig(size=16, val_count=10)
    >>> [len(batch.keys) for batch in eval_batches(open_split(config, "val"), config, batch_size=4)]
    [4, 4, 2]
    """
    if batch_size < 1:
        raise GridcodeError(f"batch_size must be at least 1, not {batch_size}")
    total = len(source)
    starts = range(0, total, batch_size)
    workers = min(useful_workers(config.workers, in_memory=source.in_memory), len(starts))
    fetch = Fetch(source, config, seed=None)
    return _eval_stream(
        fetch_in_order(fetch, (range(start, min(start + batch_size, total)) for start in starts), workers),
        source.name,
    )


def _train_stream(chunks: Iterator[Chunk]) -> Iterator[Batch]:
    for chunk in chunks:
        yield _batch(chunk)


def _eval_stream(chunks: Iterator[Chunk], name: str) -> Iterator[Batch]:
    """Batches, one behind the chunks, so that the messages of an empty chunk find a batch to go with."""
    held: Batch | None = None
    waiting: tuple[str, ...] = ()
    for chunk in chunks:
        for message in chunk.skipped:
            _log.warning("skipped %s", message)
        if not chunk.keys:
            waiting += chunk.skipped
            continue
        if held is not None:
            yield held
        held = replace(_batch(chunk), skipped=waiting + chunk.skipped)
        waiting = ()
    if held is None:
        raise FileError(f"{name}: none of the {len(waiting)} images can be read; the first: {waiting[0]}")
    yield replace(held, skipped=held.skipped + waiting)


def _batch(chunk: Chunk) -> Batch:
    images = chunk.pixels.to(torch.float32).div_(127.5).sub_(1.0)
    return Batch(images=images, labels=chunk.labels, keys=chunk.keys, skipped=chunk.skipped)
