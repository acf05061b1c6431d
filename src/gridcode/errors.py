"""The one error that gridcode raises for what a user can mend."""

from __future__ import annotations


class GridcodeError(ValueError):
    """What failed, the value that was seen, and the next action, in one line.

    Every mistake that input, files or settings can cause raises this type, so that a program can catch one name and
    the command line can print one line. It is a ``ValueError``; about a file that is missing, or cannot be read or
    written, it is an ``OSError`` too, and ``FileNotFoundError`` where nothing is there. Our own mistakes stay
    ``assert``.

    >>> from pathlib import Path
    >>> from gridcode.files import read_json
    >>> try:
    ...     read_json(Path("nowhere.json"), "settings")
    ... except FileNotFoundError as error:
    ...     print(error)
    settings: there is no file nowhere.json
    """

    def __init__(self, message: str) -> None:
        # Other libraries' words, quoted in an error, may come in several lines.
        super().__init__(" ".join(message.splitlines()))


class FileError(GridcodeError, OSError):
    """A :class:`GridcodeError` about a file or folder that cannot be read, written or used; an ``OSError``."""


class MissingFileError(FileError, FileNotFoundError):
    """A :class:`GridcodeError` about a file or folder that is not there; a ``FileNotFoundError``."""
