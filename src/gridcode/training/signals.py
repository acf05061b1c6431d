"""Ctrl-C and SIGTERM ask a training loop to stop after its step; a second Ctrl-C stops it at once.

SIGTERM again is the same request: a scheduler sends it to torchrun and to its processes, and torchrun hands it on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gridcode.errors import GridcodeError


class StopRequest:
    """Whether a signal asked to stop, and which.

    Attributes:
        received: The signal, or None so far.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.received is not None


class Stopped(GridcodeError):  # noqa: N818 (not a fault: somebody asked for it)
    """A signal ended a run after its step; its checkpoint is safe.

    Attributes:
        number: The signal's; a command line exits with 128 + it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, int]]:
        return type(self), (str(self), self.number)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM inside the block; only Python's main thread can."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        if number == request.received == signal.SIGTERM:
            return
        if request.received is not None:
            raise KeyboardInterrupt
        request.received = signal.Signals(number)

    try:
        for number in before:
            signal.signal(number, ask)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
