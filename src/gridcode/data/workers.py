"""A stream of batches of any kind of data: positions are fetched ahead in processes, and come in order.

Example number p of a training stream (its *position*) depends on (seed, p) alone: with n examples, epoch e = p // n, it
is example permutation(seed, e)[p mod n], and its random crop comes from a generator seeded with (seed, p). A batch is a
run of positions. So the stream is the same with any number of worker processes, and step k starts at position
k · batch_size.

    positions ──> [ workers: fetch a run of positions ] ──> batches in order

Whatever makes batches (images, images with label maps) gives a map-style data set whose item for a run of positions is
a result or a ``GridcodeError``, returned and not raised: PyTorch would wrap a raised one into the text of a traceback.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gridcode.errors import GridcodeError
from gridcode.training.seeding import indices_at

Result = TypeVar("Result")


@dataclass(frozen=True)
class TrainOrder:
    """Which examples a process sees in training, and in what order.

    Attributes:
        batch_size: Examples per step, over all ranks; a multiple of ``world``.
        seed: Decides the order and the crops, together with each example's position in the stream.
        start_step: Number of steps to leave out, at no cost: the stream of a run resumed at that step.
        rank: Which contiguous slice of each step's positions to fetch, 0 <= rank < world.
        world: Number of ranks that share a batch.

    Raises:
        GridcodeError: A setting is out of range.
    """

    batch_size: int
    seed: int
    start_step: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be shared out."""
        if self.seed < 0:
            raise GridcodeError(f"seed must not be negative, not {self.seed}")
        if self.batch_size < 1 or self.world < 1 or self.batch_size % self.world:
            raise GridcodeError(
                f"batch_size {self.batch_size} is not a positive multiple of the {self.world} processes; change it"
            )
        if not 0 <= self.rank < self.world:
            raise GridcodeError(f"rank {self.rank} is not in [0, {self.world}); check the launcher's settings")
        if self.start_step < 0:
            raise GridcodeError(f"start_step must not be negative, not {self.start_step}")

    def positions(self) -> Iterator[range]:
        """The positions of each step that are this process's, without end."""
        share = self.batch_size // self.world
        starts = (step * self.batch_size + self.rank * share for step in count(self.start_step))
        return (range(start, start + share) for start in starts)


def eval_stream(
    fetch: Dataset[Result | GridcodeError], *, total: int, workers: int, batch_size: int
) -> Iterator[Result]:
    """What ``fetch`` makes of the positions 0 … total - 1, ``batch_size`` at a time; the last run may be shorter.

    Raises:
        GridcodeError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise GridcodeError(f"batch_size must be at least 1, not {batch_size}")
    starts = range(0, total, batch_size)
    runs = (range(start, min(start + batch_size, total)) for start in starts)
    return fetch_in_order(fetch, runs, min(workers, len(starts)))


def examples_at(positions: range, *, count: int, seed: int | None) -> Iterator[tuple[int, np.random.Generator | None]]:
    """Which of ``count`` examples stand at a run of positions, and the generators of their crops.

    Without a seed the examples stand in their own order, and crops are not random: there is no generator.

    >>> list(examples_at(range(3, 5), count=5, seed=None))
    [(3, None), (4, None)]
    """
    if seed is None:
        yield from ((position, None) for position in positions)
        return
    if seed < 0:
        raise GridcodeError(f"seed must not be negative, not {seed}")
    indices = indices_at(positions.start, positions.stop, count=count, seed=seed).tolist()
    for index, position in zip(indices, positions, strict=True):
        yield index, np.random.default_rng((seed, position))


def useful_workers(workers: int, *, in_memory: bool) -> int:
    """At most ``workers`` and as many as the machine has cores; none where there is nothing to decode.

    >>> useful_workers(4, in_memory=True)
    0
    """
    if in_memory:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(workers, cores)


def fetch_in_order(
    fetch: Dataset[Result | GridcodeError], positions: Iterator[Any], workers: int, *, ahead: int = 2
) -> Iterator[Result]:
    """The result of each run of positions, in order.

    Args:
        fetch: Maps a run of positions, or another task, to a result or an error.
        positions: The runs; the workers get them in turns.
        workers: Processes that fetch ahead; 0 fetches here. They end with the iterator.
        ahead: Runs that each process has fetched or is fetching, at most.

    Raises:
        GridcodeError: ``fetch`` returned one, or a worker process died.

    >>> class Sum(Dataset[int | GridcodeError]):
    ...     def __getitem__(self, positions: range) -> int:
    ...         return sum(positions)
    >>> list(fetch_in_order(Sum(), iter([range(3), range(3, 5)]), 0))
    [3, 7]
    """
    if workers == 0:
        for run in positions:
            yield _result(fetch[run])
        return
    results = _start_workers(fetch, positions, workers, ahead)
    try:
        while (result := next(results, None)) is not None:
            yield _result(result)
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
        del results


def _start_workers(
    fetch: Dataset[Result | GridcodeError], positions: Iterator[Any], workers: int, ahead: int
) -> Iterator[Result | GridcodeError]:
    # A generator of its own: the loader would otherwise draw from torch's global one, and a model's dropout
    # would depend on the number of workers. PyTorch gives a worker one thread, and ends it with its parent.
    loader = DataLoader(
        fetch,
        batch_size=None,
        sampler=positions,
        num_workers=workers,
        prefetch_factor=ahead,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_it_to_the_parent,
        generator=torch.Generator(),
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads; the workers touch none of the parent's.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        return iter(loader)


def _result(fetched: Result | GridcodeError) -> Result:
    if isinstance(fetched, GridcodeError):
        raise fetched
    return fetched


def _as_it_is(result: Any) -> Any:
    """In the place of a collate function: the result is a batch already."""
    return result


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
