"""Command lines from frozen dataclasses, through tyro; a wrong one gives one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from gridcode.errors import GridcodeError

T = TypeVar("T")

FRAME = re.compile(r"[╭╮╰╯│─]+")


def parse(kind: type[T], arguments: Sequence[str], *, prog: str, default: Any = None, description: str = "") -> T:
    """Read a command line into a dataclass.

    Args:
        kind: The dataclass.
        arguments: The words after the verb.
        prog: How the command is called, for its help.
        default: A value of ``kind`` whose fields are the defaults; ``tyro.MISSING`` fields are required.
        description: One paragraph for the help.

    Raises:
        GridcodeError: A word is unknown, missing or of the wrong type.
    """
    said = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            parsed: T = tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff,),
                **settings,
            )
            return parsed
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise GridcodeError(f"{_one_line(said.getvalue())}; see {prog} --help") from None


def _one_line(box: str) -> str:
    """What tyro prints in a box, as one line without the help it repeats."""
    text = re.split(r"Argument helptext|For full helptext", FRAME.sub(" ", box))[0]
    return " ".join(text.split()) or "the command line cannot be read"
