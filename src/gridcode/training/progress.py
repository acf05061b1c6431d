"""What a person sees while a loop runs: a rich bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Say = Callable[[str], None]
"""Told what is being done, for the person who waits."""


class Stopwatch:
    """How long each part of a command takes.

    Attributes:
        seconds: By the part's name, in the order they were begun; a name that comes twice is added up.

    >>> watch = Stopwatch()
    >>> with watch.part("training"):
    ...     pass
    >>> list(watch.seconds)
    ['training']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class ProgressBar:
    """A context manager that shows how far a loop is and its latest figures.

    Args:
        title: What runs.
        total: Steps in all.
        start: Steps already done.
        show: False keeps silent (other processes of a distributed run, tests).
    """

    def __init__(self, title: str, *, total: int, start: int = 0, show: bool = True) -> None:
        self.console = Console(stderr=True, quiet=not show)
        self._title, self._total, self._start = title, total, start
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            disable=not show or not self.console.is_terminal,
        )
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._total, completed=self._start, figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, done: int, figures: Mapping[str, str] | None = None) -> None:
        """Move the bar to ``done`` steps; new figures replace the old ones."""
        if figures is None:
            self._bar.update(self._task, completed=done)
        else:
            text = "  ".join(f"{name} {value}" for name, value in figures.items())
            self._bar.update(self._task, completed=done, figures=text)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
