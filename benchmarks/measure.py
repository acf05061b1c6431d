"""What the benchmarks share: a clock that waits for the device, peak memory, and the machine's name."""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def seconds(call: Callable[[], Any]) -> float:
    """One call's time, with the device idle before and after."""
    idle()
    start = time.perf_counter()
    call()
    idle()
    return time.perf_counter() - start


def idle() -> None:
    """Wait for what a CUDA device still has to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def resident_peak() -> float:
    """This process's peak resident set in MiB; Linux's ``ru_maxrss`` would start at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Start the peak of ``resident_peak`` again at what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def machine(device: str) -> str:
    """What it runs on."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.machine()
