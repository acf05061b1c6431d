"""What is printed to a terminal, in the words of its command line: settings become the verb's options.

Of an error's advice, what the verb has no option for is left out.

The library names Python settings (``data.on_error=skip``, ``resume=True``), and knows no verb. ``tokenize`` says
``--data.on-error skip`` instead, ``reconstruct`` ``--input`` for ``data.source``, and ``edit`` leaves the clause out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Collection
from typing import Final

SETTING: Final = re.compile(
    r"(?<![\w./=-])(?:--[a-z][\w.-]*[\w]|(?:data|crop|loop|model|optim|loss|alarms|prior|evaluation)(?:\.[a-z]\w*)+|vit_weights"
    r"|(?:resume|force|overwrite|stage|draws|depth_format|allow_pickle)(?==))"
    r"(?:=(?P<value>[\w.-]*\w))?(?![\w/])"
)
"""A setting or an option in an error's text."""
_VERBS: Final = "set|use|try|give|check|add|leave|say|name|lower|raise|change|choose|write|train|start|ask|shrink|let"
_CLAUSE: Final = re.compile(
    rf"[;:,]?\s*(?:\b(?:or|and)\s+)?\b(?<!gridcode )(?:{_VERBS})\s[^;,]*"
    r"|(?:;|,? or|,? and)\s+(?:--[a-z]|(?:resume|force)=)[^;,]*"
)
_ELSEWHERE: Final = {
    "--data.source": "--input",
    "--data.max-pixels": "--max-pixels",
    "--overwrite": "--force",
}
"""Settings that some verbs call otherwise."""


def advise(text: str, options: Collection[str]) -> str:
    """The text of an error as a verb with these options says it.

    >>> advise("a.png: damaged; replace it, or set data.on_error=skip", {"--data.on-error"})
    'a.png: damaged; replace it, or set --data.on-error skip'
    >>> advise("a.png: damaged; replace it, or set data.on_error=skip", {"--out"})
    'a.png: damaged; replace it'
    >>> advise("runs is not empty; set force=True to replace it", {"--force"})
    'runs is not empty; set --force to replace it'
    """
    if not options:
        return text
    start = 0
    cuts: dict[int, str] = {}
    while clause := _CLAUSE.search(text, start):
        if _can_be_followed(clause[0], options):
            start = clause.end()
            continue
        start = clause.start()
        cuts.setdefault(start, clause[0][0])
        text = text[:start] + text[clause.end() :]
    for place, mark in reversed(cuts.items()):  # what followed ", or" now comes first
        if mark in ";:" and text.startswith(", ", place):
            text = f"{text[:place]}{mark} {text[place + 2 :].removeprefix('or ')}"
    return SETTING.sub(lambda found: _as_typed(found, options), text)


def _can_be_followed(clause: str, options: Collection[str]) -> bool:
    """Whether all settings of a clause are options; those of another command's line are not looked at."""
    own = clause.partition("gridcode ")[0]
    return all(_option(found, options) for found in SETTING.finditer(own))


def _as_typed(found: re.Match[str], options: Collection[str]) -> str:
    """A setting, with its value, as it is typed; as it is where it is no option."""
    option = _option(found, options)
    if option is None:
        return found[0]
    return option if found["value"] in (None, "True") else f"{option} {found['value']}"


def _option(found: re.Match[str], options: Collection[str]) -> str | None:
    """The option that a setting is: of its name, of its last names, or another one."""
    name = found[0].partition("=")[0].removeprefix("--").replace("_", "-")
    full = f"--{name}"
    for each in (full, f"--{name.removeprefix('evaluation.')}"):
        if each in options:
            return each
    longer = [option for option in options if option.endswith(f".{name}")]
    if len(longer) == 1:
        return longer[0]
    other = _ELSEWHERE.get(full)
    return other if other in options else None


def as_typed(text: str) -> str:
    """A line of the library's, in the words of the command line that was read last."""
    # What the verb's options are is known once its command line was read; asking for them takes a while.
    reader = sys.modules.get("gridcode.cli.shared.parse") if SETTING.search(text) else None
    return advise(text, reader.options()) if reader else text


def as_flags(text: str) -> str:
    """A line of a run's log with every setting as the flag of the verb that wrote it.

    >>> as_flags("try a lower optim.lr, optim.clip=1 or loop.precision=fp32")
    'try a lower --optim.lr, --optim.clip 1 or --loop.precision fp32'
    """
    named = (found[0].partition("=")[0].removeprefix("--") for found in SETTING.finditer(text))
    return advise(text, {f"--{name.replace('_', '-')}" for name in named})


def narrator() -> Callable[[str], None]:
    """A function that prints a line to the terminal's error stream, with the seconds since it was made."""
    from rich.console import Console
    from rich.markup import escape

    console, start = Console(stderr=True), time.perf_counter()

    def say(text: str) -> None:
        seconds = f"[dim]{time.perf_counter() - start:5.0f} s[/dim]"
        console.print(f"{seconds}  {escape(as_typed(text))}", highlight=False, soft_wrap=True)

    return say


class _Terminal(logging.Handler):
    """Prints what the library warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        print(as_typed(record.getMessage()), file=sys.stderr)


def show_warnings() -> None:
    """Print the library's warnings, which logging would print in the words of Python."""
    log = logging.getLogger("gridcode")
    if not any(isinstance(handler, _Terminal) for handler in log.handlers):
        log.addHandler(_Terminal(logging.WARNING))
