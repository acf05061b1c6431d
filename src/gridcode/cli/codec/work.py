"""Files that are compressed or decompressed one after another, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar

from gridcode.cli.codec.files import Job
from gridcode.cli.shared.models import CodecModel
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.domains.image.compress import Codec

Result = TypeVar("Result")


@lru_cache(maxsize=1)
def codec_of(model: CodecModel) -> Codec:
    """A model's codec, loaded once a process."""
    return model.load()


def worked(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result | GridcodeError]]:
    """Do jobs, and tell of each in order what came of it: a result, or the error that it ended with.

    Args:
        work: What is done; it goes to other processes.
        jobs: The jobs.
        workers: Processes, which share the cores; 1 is this one.

    Raises:
        GridcodeError: There are fewer than one, or a process died.
    """
    if workers < 1:
        raise GridcodeError(f"--workers must be at least 1, got {workers}")
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield job, _tried(work, job)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
    )
    try:
        yield from zip(jobs, pool.map(partial(_tried, work), jobs), strict=True)
    except BrokenProcessPool:
        raise GridcodeError("a process died, perhaps for want of memory; give fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(threads: int) -> None:
    """In a new process: its share of the cores."""
    import torch

    torch.set_num_threads(threads)


def _tried(work: Callable[[Job], Result], job: Job) -> Result | GridcodeError:
    try:
        return work(job)
    except GridcodeError as error:
        return error.with_traceback(None)
