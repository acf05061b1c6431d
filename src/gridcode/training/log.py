"""What a loop tells: JSON lines always, TensorBoard beside them, and a rich bar for the person at the terminal.

``log.jsonl`` has one object a line: ``{"step": 500, "train/loss": 0.01, …}``, a warning as
``{"step": …, "warning": "…"}``; a value that was not finite is null. A resumed run cuts the lines after its
checkpoint, so no step is there twice. Where there is no terminal, the bar is a line now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gridcode.files import from_json, to_json, write_text, writing


class RunLog:
    """Appends to the log of one run.

    Args:
        run: The run's folder.
        start: Steps that were taken before; what the log holds of later ones is dropped.
    """

    def __init__(self, run: Path, *, start: int = 0) -> None:
        self.path = run / "log.jsonl"
        lines = read_log(run) if start else []
        write_text(self.path, "".join(to_json(line) + "\n" for line in lines if line["step"] <= start))
        self._file = self.path.open("a", encoding="utf-8")
        # TensorBoard's own start-up chatter is not the user's business.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(run / "tensorboard", purge_step=start or None)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line; numbers also go to TensorBoard."""
        with writing(self.path):
            self._file.write(to_json({"step": step, **values}) + "\n")
            self._file.flush()
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, oldest first; what a kill cut short, and what is no line of a log, is left out."""
    path = run / "log.jsonl"
    if not path.exists():
        return []
    lines = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found = from_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and _is_line(found):
            lines.append(found)
    return lines


def _is_line(values: dict[str, Any]) -> bool:
    """Whether a JSON object is what :meth:`RunLog.write` writes; an alarm is a warning with a name."""
    texts = [values[name] for name in ("warning", "alarm") if name in values]
    named = "alarm" not in values or "warning" in values
    return isinstance(values.get("step"), int) and all(isinstance(text, str) for text in texts) and named


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
        total: Steps in all; None where that is not known.
        start: Steps already done.
        show: False keeps silent (other processes of a distributed run, tests).
    """

    def __init__(self, title: str, *, total: int | None, start: int = 0, show: bool = True) -> None:
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
