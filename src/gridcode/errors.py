"""The one error that gridcode raises for what a user can mend, and the check of settings that every config needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence


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


class NotFiniteError(GridcodeError):
    """A latent, a loss, a gradient or another figure is NaN or infinite: in training, a sign that it has diverged."""


class FileError(GridcodeError, OSError):
    """A :class:`GridcodeError` about a file or folder that cannot be read, written or used; an ``OSError``."""


class MissingFileError(FileError, FileNotFoundError):
    """A :class:`GridcodeError` about a file or folder that is not there; a ``FileNotFoundError``."""


class NothingReadableError(FileError):
    """A :class:`GridcodeError` where all that cannot be read was to be left out, and nothing is left."""


def check_numbers(
    settings: object,
    owner: str,
    *,
    counts: Sequence[str] = (),
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
) -> None:
    """Refuse settings that are out of their range, or NaN.

    Args:
        settings: Has the named settings as attributes.
        owner: What stands before a setting's name in the error, such as "loop.".
        counts: Settings that must be at least 1.
        positive: Settings that must be above 0.
        not_negative: Settings that must be at least 0.

    Raises:
        GridcodeError: One is out of its range.

    >>> from types import SimpleNamespace
    >>> check_numbers(SimpleNamespace(steps=0), "loop.", counts=["steps"])
    Traceback (most recent call last):
    gridcode.errors.GridcodeError: loop.steps must be at least 1, got 0
    """
    bounds: tuple[tuple[Sequence[str], str, Callable[[float], bool]], ...] = (
        (counts, "at least 1", lambda value: value >= 1),
        (positive, "> 0", lambda value: value > 0),
        (not_negative, ">= 0", lambda value: value >= 0),
    )
    for names, bound, holds in bounds:
        for name in names:
            value = getattr(settings, name)
            if not holds(value):
                raise GridcodeError(f"{owner}{name} must be {bound}, got {value}")


def check_choices(settings: object, owner: str, **choices: Sequence[str]) -> None:
    """Refuse settings that are none of their words, or hold one that is none.

    Args:
        settings: Has the named settings as attributes: a word each, or a tuple of words.
        owner: What stands before a setting's name in the error, such as "data.".
        choices: The words of each.

    Raises:
        GridcodeError: One is another word.

    >>> from types import SimpleNamespace
    >>> check_choices(SimpleNamespace(on_error="pass"), "data.", on_error=("stop", "skip"))
    Traceback (most recent call last):
    gridcode.errors.GridcodeError: data.on_error must be one of stop, skip, not 'pass'
    """
    for name, words in choices.items():
        value = getattr(settings, name)
        for word in value if isinstance(value, tuple) else (value,):
            if word not in words:
                raise GridcodeError(f"{owner}{name} must be one of {', '.join(words)}, not {word!r}")
