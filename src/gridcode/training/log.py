"""A run's log: JSON lines always, TensorBoard beside them.

``log.jsonl`` has one object a line: ``{"step": 500, "train/loss": 0.01, …}``, a warning as
``{"step": …, "warning": "…"}``; a value that was not finite is null. A resumed run cuts the lines after its
checkpoint, so no step is there twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        if isinstance(found, dict) and isinstance(found.get("step"), int):
            lines.append(found)
    return lines
