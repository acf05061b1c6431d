"""Batches from a stream of shards: the training stream that a checkpoint can be resumed at, and one pass in order.

    lanes ─> [ worker 0: lanes 0, 2, … ] ─┐
             [ worker 1: lanes 1, 3, … ] ─┴─> the lanes' shares of a step, put together ─> Batch

A worker keeps its lanes open from one step to the next. PyTorch hands out tasks to workers in turns, and the number of
workers divides that of the lanes, so that a lane is always asked for in the same worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from gridcode.data.config import DataConfig
from gridcode.data.image import decode_image
from gridcode.data.loader import MOST_IN_A_ROW, Batch, Chunk, batch_of, square_of, with_skipped
from gridcode.data.shards.lanes import Lane, lane_count, useful_lane_workers
from gridcode.data.shards.position import LaneState
from gridcode.data.shards.stream import Encoded, ImageStream
from gridcode.data.workers import TrainOrder, fetch_in_order, useful_workers
from gridcode.errors import FileError, GridcodeError


@dataclass(frozen=True)
class Share:
    """What some lanes give to a step: images lane by lane, and the lanes' states after it."""

    chunk: Chunk
    states: dict[int, LaneState]


@dataclass(frozen=True)
class Task:
    """A step's share to be made, ``lanes`` by number."""

    step: int
    lanes: tuple[int, ...]


class LaneFetch(Dataset[Share | GridcodeError]):
    """Makes shares of steps; it runs in the worker processes and keeps the lanes that it was asked for.

    Args:
        stream: The shards.
        config: Size, channels, crop, buffer and what to do at an unreadable image.
        order: Seed, batch size and first step.
        lanes: How many lanes share a batch.
    """

    def __init__(self, stream: ImageStream, config: DataConfig, order: TrainOrder, lanes: int) -> None:
        self._stream, self._config, self._order, self._lanes = stream, config, order, lanes
        self._open: dict[int, tuple[Lane, Iterator[Encoded | GridcodeError]]] = {}

    def __getitem__(self, task: Task) -> Share | GridcodeError:
        try:
            skipped = list[str]()
            made = [row for lane in task.lanes for row in self._rows(task.step, lane, skipped)]
        except GridcodeError as error:
            return error.with_traceback(None)
        return Share(_chunk(made, skipped), {lane: self._open[lane][0].state for lane in task.lanes})

    def _rows(self, step: int, number: int, skipped: list[str]) -> list[Any]:
        """A lane's images of a step."""
        if number not in self._open:
            lane = Lane(
                self._stream,
                number,
                self._lanes,
                seed=self._order.seed,
                buffer=max(1, self._config.shuffle_buffer // self._lanes),
                state=self._stream.position.at(self._order.start_step, number),
            )
            self._open[number] = lane, iter(lane)
        images, count = self._open[number][1], self._order.batch_size // self._lanes
        start = step * self._order.batch_size + number * count
        return [self._next(images, skipped, position) for position in range(start, start + count)]

    def _next(self, images: Iterator[Encoded | GridcodeError], skipped: list[str], position: int) -> Any:
        """What :func:`_read` gives of the next image that can be read; its place in training decides the crop."""
        for _ in range(MOST_IN_A_ROW):
            item = next(images)
            try:
                return _read(item, self._config, self._stream, np.random.default_rng((self._order.seed, position)))
            except GridcodeError as error:
                if self._config.on_error == "stop":
                    raise
                skipped.append(str(error))
        raise FileError(f"{self._stream.name}: {MOST_IN_A_ROW} in a row cannot be read; the last: {skipped[-1]}")


class DecodeFetch(Dataset[Chunk | GridcodeError]):
    """Decodes images that were read already, with the centre crop."""

    def __init__(self, stream: ImageStream, config: DataConfig) -> None:
        self._stream, self._config = stream, config

    def __getitem__(self, items: list[Encoded | GridcodeError]) -> Chunk | GridcodeError:
        made, skipped = [], []
        for item in items:
            try:
                made.append(_read(item, self._config, self._stream, None))
            except GridcodeError as error:
                if self._config.on_error == "stop":
                    return error.with_traceback(None)
                skipped.append(str(error))
        size, channels = self._config.size, self._config.channels
        if not made:
            nothing = torch.empty(0, channels, size, size, dtype=torch.uint8)
            return Chunk(nothing, torch.empty(0, dtype=torch.int64), (), tuple(skipped))
        return replace(_chunk(made, skipped), beside=tuple(row[3] for row in made))


def stream_train_batches(stream: ImageStream, config: DataConfig, order: TrainOrder) -> Iterator[Batch]:
    """Batches for training, without end; ``stream.position`` is always where the next one is.

    Args:
        stream: The shards.
        config: Size, channels, crop, buffer, workers and what to do at an unreadable image.
        order: Seed, batch size, first step, and which of how many processes this is.

    Raises:
        GridcodeError: The processes cannot share the lanes, the first step is not that of ``stream.position``, or a
            shard or an image cannot be read.
    """
    lanes = lane_count(len(stream.shards), order.batch_size, order.world)
    mine = range(order.rank * lanes // order.world, (order.rank + 1) * lanes // order.world)
    for lane in mine:
        stream.position.at(order.start_step, lane)
    stream.position.count, stream.position.mine = lanes, mine
    workers = useful_lane_workers(len(mine), useful_workers(config.workers, in_memory=False))
    parts = [tuple(mine[worker :: max(1, workers)]) for worker in range(max(1, workers))]
    tasks = (Task(step, part) for step in count(order.start_step) for part in parts)
    shares = fetch_in_order(LaneFetch(stream, config, order, lanes), tasks, workers, ahead=2 * max(1, workers))
    return _steps(stream, shares, order, parts)


def _steps(
    stream: ImageStream, shares: Iterator[Share], order: TrainOrder, parts: list[tuple[int, ...]]
) -> Iterator[Batch]:
    for step in count(order.start_step):
        of_step = [next(shares) for _ in parts]
        by_lane: dict[int, Chunk] = {}
        for share, part in zip(of_step, parts, strict=True):
            each = len(share.chunk.keys) // len(part)
            for place, lane in enumerate(part):
                cut = slice(place * each, (place + 1) * each)
                chunk = share.chunk
                by_lane[lane] = Chunk(
                    chunk.pixels[cut], chunk.labels[cut], chunk.keys[cut], () if place else chunk.skipped
                )
        stream.position.step = step + 1
        stream.position.lanes |= {lane: state for share in of_step for lane, state in share.states.items()}
        yield batch_of(_joined([by_lane[lane] for lane in sorted(by_lane)]))


def stream_eval_batches(stream: ImageStream, config: DataConfig, *, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order, with the centre crop.

    Args:
        stream: The shards.
        config: Size, channels, workers and what to do at an unreadable image.
        batch_size: Images a batch; the last one may be smaller.

    Raises:
        GridcodeError: A shard or an image cannot be read, or there are none.
    """
    if batch_size < 1:
        raise GridcodeError(f"batch_size must be at least 1, not {batch_size}")
    workers = useful_workers(config.workers, in_memory=False)
    chunks = fetch_in_order(DecodeFetch(stream, config), _runs(stream, batch_size), workers)
    return with_skipped(chunks, stream.name)


def _runs(stream: ImageStream, size: int) -> Iterator[list[Encoded | GridcodeError]]:
    run: list[Encoded | GridcodeError] = []
    for item in stream:
        run.append(item)
        if len(run) == size:
            yield run
            run = []
    if run:
        yield run


def _read(
    item: Encoded | GridcodeError, config: DataConfig, stream: ImageStream, generator: np.random.Generator | None
) -> tuple[np.ndarray, int, str, Mapping[str, Any]]:
    if isinstance(item, GridcodeError):
        raise item
    pixels = decode_image(item.data, name=item.where, max_pixels=stream.max_pixels)
    square = square_of(pixels, config, generator)
    return square, -1 if item.label is None else item.label, item.key, item.beside


def _chunk(made: Sequence[tuple[Any, int, str, Mapping[str, Any]]], skipped: Sequence[str]) -> Chunk:
    """What :func:`_read` gave of some images."""
    squares, labels, keys, _ = zip(*made, strict=True)
    pixels = torch.from_numpy(np.stack(squares))
    return Chunk(pixels, torch.tensor(labels, dtype=torch.int64), keys, tuple(skipped))


def _joined(chunks: list[Chunk]) -> Chunk:
    return Chunk(
        torch.cat([chunk.pixels for chunk in chunks]),
        torch.cat([chunk.labels for chunk in chunks]),
        tuple(key for chunk in chunks for key in chunk.keys),
        tuple(message for chunk in chunks for message in chunk.skipped),
    )
