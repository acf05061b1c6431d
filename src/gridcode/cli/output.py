"""What a verb writes and says: folders, file names, a line for each thing it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gridcode.errors import FileError
from gridcode.files import make_folder


def fresh_folder(folder: Path, *, force: bool) -> Path:
    """Make the folder; one with something in it is only used with ``force``.

    Raises:
        GridcodeError: It is a file, or not empty.
    """
    check_fresh(folder, force=force)
    return make_folder(folder)


def check_fresh(folder: Path, *, force: bool) -> None:
    """Refuse what :func:`fresh_folder` would refuse, before work that takes long; nothing is made.

    Raises:
        GridcodeError: It is a file, or not empty.
    """
    if folder.is_file():
        raise FileError(f"{folder} is a file; give a folder as --out")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise FileError(f"{folder} is not empty; give another --out, or --force to write into it")


def narrator() -> Callable[[str], None]:
    """A function that prints a line to the terminal's error stream, with the seconds since it was made."""
    from rich.console import Console
    from rich.markup import escape

    console, start = Console(stderr=True), time.perf_counter()

    def say(text: str) -> None:
        seconds = f"[dim]{time.perf_counter() - start:5.0f} s[/dim]"
        console.print(f"{seconds}  {escape(text)}", highlight=False, soft_wrap=True)

    return say
