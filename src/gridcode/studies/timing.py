"""What a training costs: its time, told from a few of its steps, and its memory."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import torch

from gridcode.files import read_json, write_json
from gridcode.training.config import LoopConfig
from gridcode.training.log import read_log

STEPS: Final = 6
"""Steps that are taken, of which the second half is timed."""


def working_time() -> float:
    """A clock, in seconds, for the work of this process: it stands still while the process waits for a core.

    Where a GPU works, which that clock does not see, it is the time of day.
    """
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def short_loop(loop: LoopConfig) -> LoopConfig:
    """The same loop, cut after a few steps.

    >>> short_loop(LoopConfig(steps=500)).steps
    6
    """
    half = STEPS // 2
    return replace(loop, steps=STEPS, log_every=half, val_every=STEPS, val_count=2, checkpoint_every=STEPS)


def seconds_of_steps(run: Path, loop: LoopConfig) -> float:
    """How long all steps of a loop take, by the speed that a run of it has logged: the median of all but the first.

    Args:
        run: The run's folder; it may have been a short one.
        loop: The whole loop.
    """
    speeds = [float(line["train/images_per_s"]) for line in read_log(run) if "train/images_per_s" in line]
    return loop.steps * loop.batch_size / median(speeds[1:] or speeds)


@dataclass
class Peak:
    """The most memory that a block of code took beyond what was held before; known once the block has ended."""

    mib: float | None = None
    """MiB; None where the system does not tell."""


@contextmanager
def peak_memory(device: torch.device, file: Path | None = None) -> Iterator[Peak]:
    """Measure the peak of memory within the block, less what was held as it began.

    Args:
        device: CUDA: what torch takes of its memory. CPU: the resident memory of this process, on Linux, where it lets
            a process begin a new peak.
        file: Where the peak is kept for work that goes on after it was interrupted: the highest of all sittings counts,
            but for one that was killed.
    """
    peak, before_block = Peak(), _start_of_peak(device)
    try:
        yield peak
    finally:
        highest = _peak_until_now(device)
        peak.mib = None if highest is None or before_block is None else highest - before_block
        if file is not None:
            before = read_json(file, "peak of a cell's memory")["mib"] if file.is_file() else None
            peak.mib = max((mib for mib in (before, peak.mib) if mib is not None), default=None)
            write_json(file, {"mib": peak.mib})


def _start_of_peak(device: torch.device) -> float | None:
    """Begin a new peak at what is held now, in MiB; None where the system does not let."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is taken now
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _peak_until_now(device)


def _peak_until_now(device: torch.device) -> float | None:
    """MiB; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) / 1024 if found else None
    return None
