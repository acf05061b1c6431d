"""Pictures that ``--input`` names: a single one, or whatever training reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gridcode.data.config import DataConfig
from gridcode.data.open import SCENES, open_source, open_split
from gridcode.data.source import Example, ImageSource
from gridcode.data.views import few
from gridcode.errors import FileError, GridcodeError


def open_pictures(place: str, data: DataConfig) -> ImageSource:
    """All pictures of a file, a folder, or the built-in scenes.

    Args:
        place: A path, or 'scenes'.
        data: How pictures are read; the scenes' size and seed.

    Raises:
        GridcodeError: There is nothing that can be read.
    """
    if place == SCENES:
        return open_split(replace(data, source=SCENES, val_source=None), "val")
    return open_source(Path(place), on_error=data.on_error, max_pixels=data.max_pixels)


def read_some(source: ImageSource, count: int, data: DataConfig) -> Iterator[Example]:
    """At most ``count`` pictures from all over a source; with ``on_error`` "skip" those that can be read.

    Raises:
        GridcodeError: A picture cannot be read, or with "skip" none can.
    """
    chosen, failed = few(source, count), 0
    for index in range(len(chosen)):
        try:
            example = chosen[index]
        except GridcodeError as error:
            if data.on_error == "stop":
                raise
            failed += 1
            print(f"skipped: {error}", file=sys.stderr)
            continue
        yield example
    if failed == len(chosen):
        raise FileError(f"{source.name}: none of {failed} pictures can be read; check --input")
