"""Folders and file names for what a verb writes."""

from __future__ import annotations

import re
from pathlib import Path

from gridcode.errors import GridcodeError


def fresh_folder(folder: Path, *, force: bool) -> Path:
    """Make the folder; one with something in it is only used with ``force``.

    Raises:
        GridcodeError: It is a file, or not empty.
    """
    if folder.is_file():
        raise GridcodeError(f"{folder} is a file; give a folder as --out")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise GridcodeError(f"{folder} is not empty; give another --out, or --force to write into it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_name(key: str) -> str:
    """A key as part of a file name.

    >>> file_name("train/cat 1.jpg")
    'train-cat-1'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", re.sub(r"\.[A-Za-z0-9]+$", "", key)).strip("-") or "picture"
