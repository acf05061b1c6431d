"""Command lines from frozen dataclasses, through tyro; a wrong one gives one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import tyro

from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError
from gridcode.evaluation.config import EvaluationConfig
from gridcode.recipes import recipe

T = TypeVar("T")

FRAME = re.compile(r"╭.*|[│╰─╯]+")
RULE = re.compile(r"^[\s│]*[─-]{3,}[\s│]*$", re.MULTILINE)


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
                # A choice among dataclasses is made before the words are read: its default's fields are the flags.
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
                **settings,
            )
            return parsed
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise GridcodeError(f"{_one_line(said.getvalue())}; see {prog} --help") from None


def recipe_first(words: Sequence[str]) -> tuple[EvaluationConfig, Sequence[str]]:
    """A recipe's measuring and sampling settings, if its name is the first word, and the words after it.

    Raises:
        GridcodeError: The first word is no option and no recipe.
    """
    if words and not words[0].startswith("-"):
        return recipe(words[0]).evaluation, words[1:]
    return EvaluationConfig(), words


@dataclass(frozen=True)
class DataChange:
    """Where the pictures are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Pictures to read, for training and validation; the tokenizer's own data by default."""
    size: int | None = None
    """Side in pixels; the tokenizer's own by default."""
    workers: int | None = None
    """Processes that read pictures."""

    def applied(self, data: DataConfig) -> DataConfig:
        """The settings with these changes; a new source leaves the old one's ``val_source`` behind."""
        changes = {name: value for name, value in vars(self).items() if value is not None}
        if self.source is not None:
            changes["val_source"] = None
        return replace(data, **changes)


def said(option: str, words: Sequence[str]) -> str:
    """The last value that the words give an option, in either way of writing; none is the empty string."""
    said = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, equals, value = word.partition("=")
        if flag == option:
            said = value if equals else following
    return said


def usable_device(name: str) -> str:
    """The name of a device, if this machine has it.

    Raises:
        GridcodeError: It has not, or there is no device of that name.
    """
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for the device
        reason = (str(error) or "no such device").splitlines()[0]
        raise GridcodeError(f"--device {name} cannot be used here ({reason}); try --device cpu") from None
    return name


def _one_line(box: str) -> str:
    """The error alone of what tyro prints: title, error, perhaps similar options, advice, parted by rules.

    Where the terminal cannot show a frame, the title is a part of its own instead of the frame's upper edge.
    """
    parts = [" ".join(FRAME.sub(" ", part).split()) for part in RULE.split(box)]
    error = next((part for part in parts[0 if "╭" in box else 1 :] if part), "the command line cannot be read")
    similar = re.search(r"Perhaps you meant: (--[^ ,]+)", " ".join(parts))
    return f"{error}; perhaps {similar[1]} was meant" if similar else error
