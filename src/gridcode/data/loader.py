"""Batches of images: an endless training stream that any step can be resumed at, and one pass for evaluation.

Training image number p (its *position*) depends on (seed, p) alone: with n images, epoch e = p // n, it is
image permutation(seed, e)[p mod n], cropped by a generator seeded with (seed, p). A batch is a run of
positions. So the stream is the same with any number of worker processes, and step k starts at position k *
batch_size:

    positions ──> [ workers: decode, crop, mirror, stack uint8 ] ──> float32 in [-1, 1] ──> Batch

A worker gets a whole batch's positions at once and sends back bytes, four times smaller than floats.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gridcode.data.config import DataConfig
from gridcode.data.fetch import Chunk, Fetch
from gridcode.data.source import ImageSource
from gridcode.errors import GridcodeError

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
    return _train_stream(_chunks(fetch, (range(start, start + share) for start in starts), _workers(source, config)))


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
    workers = min(_workers(source, config), len(starts))
    fetch = Fetch(source, config, seed=None)
    return _eval_stream(
        _chunks(fetch, (range(start, min(start + batch_size, total)) for start in starts), workers),
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
        raise GridcodeError(f"{name}: none of the {len(waiting)} images can be read; the first: {waiting[0]}")
    yield replace(held, skipped=held.skipped + waiting)


def _batch(chunk: Chunk) -> Batch:
    images = chunk.pixels.to(torch.float32).div_(127.5).sub_(1.0)
    return Batch(images=images, labels=chunk.labels, keys=chunk.keys, skipped=chunk.skipped)


def _workers(source: ImageSource, config: DataConfig) -> int:
    """As many workers as asked for and as the machine has cores; none where there is nothing to decode."""
    if source.in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(config.workers, cores)


def _chunks(fetch: Fetch, positions: Iterator[range], workers: int) -> Iterator[Chunk]:
    """The chunk of each run of positions, in order.

    Raises:
        GridcodeError: An image cannot be read, or a worker process died.
    """
    if workers == 0:
        for run in positions:
            yield _readable(fetch[run])
        return
    chunks = _start_workers(fetch, positions, workers)
    try:
        while (chunk := next(chunks, None)) is not None:
            yield _readable(chunk)
    except BaseException as error:
        # The frames of a traceback would keep PyTorch's iterator alive, and with it the workers.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            raise GridcodeError(
                f"a data worker process died ({' '.join(str(error).split())[:160]}); "
                "free memory or shared memory (/dev/shm), or set data.workers=0"
            ) from error
        raise
    finally:
        del chunks


def _start_workers(fetch: Fetch, positions: Iterator[range], workers: int) -> Iterator[Chunk | GridcodeError]:
    # A generator of its own: the loader would otherwise draw from torch's global one, and a model's dropout
    # would depend on the number of workers. PyTorch gives a worker one thread, and ends it with its parent.
    loader = DataLoader(
        fetch,
        batch_size=None,
        sampler=positions,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_it_to_the_parent,
        generator=torch.Generator(),
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads; the workers touch none of the parent's.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        return iter(loader)


def _readable(chunk: Chunk | GridcodeError) -> Chunk:
    if isinstance(chunk, GridcodeError):
        raise chunk
    return chunk


def _as_it_is(chunk: Any) -> Any:
    """In the place of a collate function: the chunk is a batch already."""
    return chunk


def _leave_it_to_the_parent(worker: int) -> None:
    """In a new worker: no part in what a fork inherits, nor in the signals that its whole job gets.

    Nothing inherited is collected, because an inherited iterator's end would end its workers. Ctrl-C, ``timeout``,
    systemd and batch systems signal every process of a job, and the parent still needs its batches to stop in
    order; so a worker ends only by a SIGTERM of its parent, or when its parent is gone.
    """
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_the_parents_word, daemon=True).start()


def _end_at_the_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
