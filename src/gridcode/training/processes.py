"""Processes that share work, and that end with the process that gives it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait

import torch


@contextmanager
def processes(count: int, *, threads: int = 1) -> Iterator[ProcessPoolExecutor]:
    """So many processes; those that wait for work are dropped when the block ends early.

    Args:
        count: How many.
        threads: PyTorch's threads in each.
    """
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    """What a process does first: take its threads, and watch for the end of the process that gives it work."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
