"""Command lines from frozen dataclasses, through tyro; a wrong one gives one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

from gridcode.cli.shared.fields import OPTIONS
from gridcode.data.file_names import printable
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.domains.image.config import EvaluationConfig

T = TypeVar("T")

_latest: list[tuple[type, Any]] = []
"""The dataclass and the defaults that the latest command line was read into, for errors that come after it."""

FRAME = re.compile(r"╭.*|[│╰─╯]+")
OPTION = re.compile(r"(?:^|[│|])\s*(?:-\w, )?(--[a-z][\w.-]*)", re.MULTILINE)
RULE = re.compile(r"^[\s│]*[─-]{3,}[\s│]*$", re.MULTILINE)


def parse(kind: type[T], arguments: Sequence[str], *, prog: str, default: Any = None) -> T:
    """Read a command line into a dataclass.

    Args:
        kind: The dataclass; its docstring is the help's first paragraph.
        arguments: The words after the verb.
        prog: How the command is called, for its help.
        default: A value of ``kind`` whose fields are the defaults; ``tyro.MISSING`` fields are required.

    Raises:
        GridcodeError: A word is unknown, missing or of the wrong type.
    """
    printed = io.StringIO()
    _latest[:] = [(kind, default)]
    try:
        with contextlib.redirect_stderr(printed):
            parsed = _read(kind, arguments, prog=prog, default=default)
    except SystemExit as end:
        if end.code in (0, None):
            raise
        ours = _cause(end)
        if ours is not None:
            raise ours from None
        _latest.clear()  # the parser speaks of options itself
        raise GridcodeError(f"{_one_line(printed.getvalue())}; see {prog} --help") from None
    _check_out(parsed)
    return parsed


def _read(kind: type[T], words: Sequence[str], *, prog: str, default: Any) -> T:
    settings: dict[str, Any] = {} if default is None else {"default": default}
    # A choice among dataclasses is made before the words are read: its default's fields are the flags.
    settings["config"] = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
    settings["registry"] = OPTIONS
    parsed: T = tyro.cli(kind, args=list(words), prog=prog, **settings)
    return parsed


def _check_out(parsed: object) -> None:
    """Refuse a folder whose name TensorBoard and safetensors could not take, before there is anything to write."""
    folder = next((part.out for part in (parsed, *vars(parsed).values()) if hasattr(part, "out")), None)
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        name = printable(str(folder))
        raise GridcodeError(
            f"{name}: what gridcode writes needs a folder whose name is UTF-8; give another --out"
        ) from None


def _cause(error: BaseException) -> GridcodeError | None:
    """The error of ours that another one was raised for: tyro takes a setting's for its own, and draws a box."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, GridcodeError):
        found = found.__context__
    return found


def options() -> frozenset[str]:
    """The options of the command line that was read last, from its help; empty before there was one."""
    return _options_of(*_latest[0]) if _latest else frozenset()


@lru_cache(maxsize=64)
def _options_of(kind: type, default: Any) -> frozenset[str]:
    shown = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown):
        _read(kind, ["--help"], prog="gridcode", default=default)
    return frozenset(OPTION.findall(shown.getvalue()))


def recipe_first(words: Sequence[str]) -> tuple[EvaluationConfig, Sequence[str]]:
    """A recipe of images' measuring and sampling settings, if its name is the first word, and the words after it.

    Raises:
        GridcodeError: The first word is no option and no recipe.
    """
    from gridcode.domains.image.config import EvaluationConfig

    if words and not words[0].startswith("-"):
        from gridcode.recipes import image_recipe

        return image_recipe(words[0]).evaluation, words[1:]
    return EvaluationConfig(), words


def option_value(option: str, words: Sequence[str]) -> str:
    """The last value that the words give an option, in either way of writing; none is the empty string."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, equals, own = word.partition("=")
        if flag == option:
            value = own if equals else following
    return value


def _one_line(box: str) -> str:
    """The error alone of what tyro prints: title, error, perhaps similar options, advice, parted by rules.

    Where the terminal cannot show a frame, the title is a part of its own instead of the frame's upper edge.
    """
    parts = [" ".join(FRAME.sub(" ", part).split()) for part in RULE.split(box)]
    error = next((part for part in parts[0 if "╭" in box else 1 :] if part), "the command line cannot be read")
    similar = re.search(r"Perhaps you meant: (--[^ ,]+)", " ".join(parts))
    return f"{error}; perhaps {similar[1]} was meant" if similar else error
