"""The one error that gridcode raises for what a user can mend."""

from __future__ import annotations


class GridcodeError(Exception):
    """What failed, the value that was seen, and the next action, in one line.

    Every mistake that input, files or settings can cause raises this type, so that a program can catch one name and
    the command line can print one line. Our own mistakes stay ``assert``.
    """
