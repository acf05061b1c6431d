"""``gridcode dense train | predict | eval``: depth, panoptic segments or colours of pictures."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from gridcode.errors import GridcodeError
from gridcode.recipes import DENSE_RECIPES

PARTS: Final = ("train", "predict", "eval")

USAGE: Final = """usage: gridcode dense train   [RECIPE] --task TASK --out RUN [options]
       gridcode dense predict --run RUN --input PATH --out DIR [options]
       gridcode dense eval    --run RUN --out DIR [options]

TASK is depth, panoptic or colour. Without a recipe the built-in scenes are learned, at laptop size. Options of each:
gridcode dense train --help, and so on.

recipes:
{recipes}
"""


def run(arguments: list[str]) -> None:
    """Run one part.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(recipes="\n".join(f"  {name}" for name in DENSE_RECIPES)))
        return
    part, rest = arguments[0], arguments[1:]
    if part not in PARTS:
        raise GridcodeError(f"dense takes one of {', '.join(PARTS)}, got {part!r}")
    import_module(f"gridcode.cli.dense_{part}").run(rest)
