"""Command lines from frozen dataclasses, through tyro; a wrong one gives one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tyro

from gridcode.cli.fields import OPTIONS
from gridcode.data.config import DataConfig
from gridcode.data.file_names import printable
from gridcode.errors import GridcodeError, MissingFileError

if TYPE_CHECKING:
    from gridcode.domains.image.config import EvaluationConfig

T = TypeVar("T")

_latest: list[Callable[[Sequence[str]], object]] = []
"""Reads words as the latest command line was read, for errors that come after it."""

FRAME = re.compile(r"╭.*|[│╰─╯]+")
OPTION = re.compile(r"(?:^|[│|])\s*(?:-\w, )?(--[a-z][\w.-]*)", re.MULTILINE)
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
    printed = io.StringIO()

    def read(words: Sequence[str]) -> T:
        settings: dict[str, Any] = {} if default is None else {"default": default}
        # A choice among dataclasses is made before the words are read: its default's fields are the flags.
        settings["config"] = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)
        settings["registry"] = OPTIONS
        parsed: T = tyro.cli(kind, args=list(words), prog=prog, description=description, **settings)
        return parsed

    _latest[:] = [read]
    try:
        with contextlib.redirect_stderr(printed):
            parsed = read(arguments)
    except SystemExit as end:
        if end.code in (0, None):
            raise
        ours = _cause(end)
        if ours is not None:
            raise ours from None
        _latest.clear()  # the parser speaks of options itself
        raise GridcodeError(f"{_one_line(printed.getvalue())}; see {prog} --help") from None
    _check_out(getattr(parsed, "out", None) or getattr(getattr(parsed, "flags", None), "out", None))
    return parsed


def _check_out(folder: Path | None) -> None:
    """Refuse a folder whose name TensorBoard and safetensors could not take, before there is anything to write."""
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
    shown = io.StringIO()
    for read in _latest:
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown):
            read(["--help"])
    return frozenset(OPTION.findall(shown.getvalue()))


def check_models(*sources: str | None) -> None:
    """Refuse a path at which there is nothing, before the libraries that read models are imported.

    Raises:
        GridcodeError: A source is no path of anything, and no hub id either.
    """
    for source in sources:
        if source is not None and not is_hub_id(source) and not Path(source).exists():
            raise MissingFileError(f"no folder {source}, and it is no hub id (org/name); check the path")


def is_hub_id(source: str) -> bool:
    """Whether a model's name could be one on the hub.

    >>> is_hub_id("org/name"), is_hub_id("runs/a/tokenizer")
    (True, False)
    """
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source) is not None


def check_source(place: str | None) -> None:
    """Refuse a place of pictures at which there is nothing, before the libraries that read them are imported.

    Raises:
        GridcodeError: It is neither a path of anything nor 'scenes'.
    """
    if place not in (None, "scenes") and not Path(str(place)).exists():
        raise MissingFileError(
            f"{place}: no such file or folder; give the path of a data set, or 'scenes' for the built-in pictures"
        )


def recipe_first(words: Sequence[str]) -> tuple[EvaluationConfig, Sequence[str]]:
    """A recipe of pictures' measuring and sampling settings, if its name is the first word, and the words after it.

    Raises:
        GridcodeError: The first word is no option and no recipe.
    """
    from gridcode.domains.image.config import EvaluationConfig

    if words and not words[0].startswith("-"):
        from gridcode.recipes import image_recipe

        return image_recipe(words[0]).evaluation, words[1:]
    return EvaluationConfig(), words


@dataclass(frozen=True)
class Reading:
    """How pictures are read, where it is not as the tokenizer was trained."""

    on_error: Literal["stop", "skip"] | None = None
    """At a picture that cannot be read: stop, or skip it and say so."""
    max_pixels: int | None = None
    """Refuse pictures of more pixels; Pillow's limit of 89 million by default."""

    def applied(self, data: DataConfig) -> DataConfig:
        """The settings with these changes."""
        return replace(data, **{name: value for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class DataChange(Reading):
    """Where the pictures are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Pictures to read, for training and validation; the tokenizer's own data by default."""
    size: int | None = None
    """Side in pixels; the tokenizer's own by default."""
    val_source: str | None = None
    """Pictures for validation, where they are not beside or among those of --data.source."""
    workers: int | None = None
    """Processes that read pictures."""

    def applied(self, data: DataConfig) -> DataConfig:
        """The settings with these changes; a new source leaves the old one's ``val_source`` behind."""
        return super().applied(data if self.source is None else replace(data, val_source=None))


def option_value(option: str, words: Sequence[str]) -> str:
    """The last value that the words give an option, in either way of writing; none is the empty string."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, equals, own = word.partition("=")
        if flag == option:
            value = own if equals else following
    return value


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
