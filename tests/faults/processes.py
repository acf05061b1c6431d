"""Processes of this machine: who is whose child, and kill -9."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def processes() -> dict[int, tuple[int, str]]:
    """Every process's parent and command line, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
    return found


def family(process: int) -> list[int]:
    """A process, its children, theirs, and so on."""
    there, members = processes(), [process]
    for member in members:
        members += [child for child, (parent, _) in there.items() if parent == member]
    return members


def kill(process: int) -> None:
    """Kill -9; it may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
