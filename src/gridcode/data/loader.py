"""Batches of images: an endless training stream that any step can be resumed at, and one pass for evaluation.

The stream is that of :mod:`gridcode.data.workers`: training image number p (its *position*) and its crop depend on
(seed, p) alone, whatever the number of worker processes.

    positions ──> [ workers: decode, crop, mirror, stack uint8 ] ──> float32 in [-1, 1] ──> Batch

A worker gets a whole batch's positions at once and sends back bytes, four times smaller than floats.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gridcode.data.config import DataConfig
from gridcode.data.crop import center_crop, to_channels, train_crop
from gridcode.data.shards.stream import ImageStream
from gridcode.data.source import Example, ImageSource
from gridcode.data.workers import TrainOrder, eval_stream, examples_at, fetch_in_order, useful_workers
from gridcode.errors import FileError, GridcodeError, NothingReadableError

MOST_IN_A_ROW: Final = 100
"""Unreadable images that are passed over; more than that is a broken data set, not a few broken files."""


@dataclass(frozen=True)
class Chunk:
    """A batch before it becomes floats.

    >>> Chunk(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.tensor([-1]), ("a",), ()).keys
    ('a',)
    """

    pixels: Tensor
    """uint8, (B, C, H, W)."""
    labels: Tensor
    """int64, (B,); -1 where an image has no label."""
    keys: tuple[str, ...]
    """B names."""
    skipped: tuple[str, ...]
    """One message for each image that could not be read."""
    beside: tuple[Mapping[str, Any], ...] = ()
    """What stands beside each image, by column."""


class Fetch(Dataset[Chunk | GridcodeError]):
    """Maps a run of positions to a chunk; it runs in the worker processes.

    An error is returned, not raised: PyTorch would wrap a raised one into the text of a traceback.

    Args:
        source: The images.
        config: Size, channels, crop and what to do at an unreadable image.
        seed: Of the training order and crops; None reads the source in its own order with the centre crop.

    Raises:
        GridcodeError: The source is empty.

    >>> from gridcode.data.scenes.source import Scenes
    >>> fetch = Fetch(Scenes(seed=0, start=0, count=5, size=16), DataConfig(size=8), seed=None)
    >>> fetch[range(2, 4)].pixels.shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(self, source: ImageSource, config: DataConfig, *, seed: int | None) -> None:
        if not len(source):
            raise GridcodeError(f"{source.name}: no images; check data.source")
        self._source = source
        self._config = config
        self._seed = seed

    def __getitem__(self, positions: range) -> Chunk | GridcodeError:
        shape = (len(positions), self._config.channels, self._config.size, self._config.size)
        pixels = np.empty(shape, np.uint8)
        labels: list[int] = []
        keys: list[str] = []
        beside: list[Mapping[str, Any]] = []
        skipped: list[str] = []
        try:
            for first, generator in examples_at(positions, count=len(self._source), seed=self._seed):
                example = self._read(first, skipped)
                if example is None:
                    continue
                pixels[len(keys)] = square_of(example.image, self._config, generator)
                labels.append(-1 if example.label is None else example.label)
                keys.append(example.key)
                beside.append(example.beside)
        except GridcodeError as error:
            return error.with_traceback(None)
        stack = torch.from_numpy(pixels[: len(keys)])
        return Chunk(stack, torch.tensor(labels, dtype=torch.int64), tuple(keys), tuple(skipped), tuple(beside))

    def _read(self, first: int, skipped: list[str]) -> Example | None:
        """The example of that number; for an unreadable one, in training the next readable one, else None."""
        tries = 1 if self._seed is None else min(len(self._source), MOST_IN_A_ROW)
        for step in range(tries):
            try:
                return self._source[(first + step) % len(self._source)]
            except GridcodeError as error:
                if self._config.on_error == "stop":
                    raise
                skipped.append(str(error))
        if self._seed is None:
            return None
        raise FileError(f"{self._source.name}: {tries} images in a row cannot be read; the last: {skipped[-1]}")


def square_of(image: NDArray[np.uint8], config: DataConfig, generator: np.random.Generator | None) -> NDArray[np.uint8]:
    """An image's crop as a batch holds it.

    Args:
        image: (H, W, 1 or 3).
        config: Size, channels and crop.
        generator: Of a training crop; None takes the centre.

    Returns:
        (C, size, size).
    """
    if generator is None:
        square = center_crop(image, config.size)
    else:
        square = train_crop(image, config.size, policy=config.crop, generator=generator)
    return to_channels(square, config.channels).transpose(2, 0, 1)


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
    beside: tuple[Mapping[str, Any], ...] = ()
    """What stands beside each image, by column, in evaluation; empty mappings unless it was asked for."""


def train_batches(
    source: ImageSource | ImageStream,
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
        source: The images; of a stream of shards the order is that of :mod:`gridcode.data.shards.lanes`.
        config: Size, channels, crop policy, workers and what to do at an unreadable image.
        batch_size: Images per step, over all ranks; a multiple of ``world``.
        seed: Decides the order and the crops, together with each image's position in the stream.
        start_step: Number of batches to leave out, at no cost: the stream of a run resumed at that step.
        rank: Which contiguous slice of each batch to yield, 0 <= rank < world.
        world: Number of ranks that share a batch.

    Returns:
        The batches. Worker processes start once and end with the iterator.

    Raises:
        GridcodeError: A setting is out of range, the source is empty, or an image cannot be read.

    >>> from gridcode.data import DataConfig, open_split
    >>> config = DataConfig(size=16, train_count=10, workers=0)
    >>> batch = next(train_batches(open_split(config, "train"), config, batch_size=4, seed=0))
    >>> tuple(batch.images.shape), len(batch.keys)
    ((4, 3, 16, 16), 4)
    """
    order = TrainOrder(batch_size, seed, start_step, rank, world)
    if isinstance(source, ImageStream):
        from gridcode.data.shards.batches import stream_train_batches

        return stream_train_batches(source, config, order)
    workers = useful_workers(config.workers, in_memory=source.in_memory)
    chunks = fetch_in_order(Fetch(source, config, seed=seed), order.positions(), workers)
    return (batch_of(chunk) for chunk in chunks)


def eval_batches(source: ImageSource | ImageStream, config: DataConfig, *, batch_size: int) -> Iterator[Batch]:
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
    >>> config = DataConfig(size=16, val_count=10, workers=0)
    >>> [len(batch.keys) for batch in eval_batches(open_split(config, "val"), config, batch_size=4)]
    [4, 4, 2]
    """
    if isinstance(source, ImageStream):
        from gridcode.data.shards.batches import stream_eval_batches

        return stream_eval_batches(source, config, batch_size=batch_size)
    workers = useful_workers(config.workers, in_memory=source.in_memory)
    fetch = Fetch(source, config, seed=None)
    chunks = eval_stream(fetch, total=len(source), workers=workers, batch_size=batch_size)
    return with_skipped(chunks, source.name)


def with_skipped(chunks: Iterator[Chunk], name: str) -> Iterator[Batch]:
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
        held = replace(batch_of(chunk), skipped=waiting + chunk.skipped)
        waiting = ()
    if held is None:
        raise NothingReadableError(f"{name}: none of the {len(waiting)} images can be read; the first: {waiting[0]}")
    yield replace(held, skipped=held.skipped + waiting)


def batch_of(chunk: Chunk) -> Batch:
    """A chunk as floats."""
    images = chunk.pixels.to(torch.float32).div_(127.5).sub_(1.0)
    return Batch(images=images, labels=chunk.labels, keys=chunk.keys, skipped=chunk.skipped, beside=chunk.beside)
