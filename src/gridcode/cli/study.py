"""``gridcode study uvim --out DIR``: an experiment of the paper as a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from gridcode.cli.shared.options import FLAT
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError
from gridcode.studies.uvim.config import StudyConfig

USAGE = """usage: gridcode study uvim --out DIR [options]      gridcode study uvim --help

studies:
  uvim    Table 2: FSQ beside VQ with and without splitting, with and without context, on depth, panoptic and colour
"""


@dataclass(frozen=True)
class Arguments:
    """Train and compare label tokenizers and priors of several seeds, and write one table."""

    out: Path
    """The study's folder; finished cells in it are kept, and a killed study goes on."""
    study: Annotated[StudyConfig, FLAT] = field(default_factory=StudyConfig)
    workers: int = 1
    """Processes, of one thread each."""
    only_time: bool = False
    """Say how many hours it would take, and end."""


def run(arguments: list[str]) -> None:
    """Run a study.

    Raises:
        GridcodeError: The command line is wrong, or a cell cannot be trained.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    if arguments[0] != "uvim":
        raise GridcodeError(f"study takes 'uvim', got {arguments[0]!r}")
    parsed = parse(Arguments, arguments[1:], prog="gridcode study uvim")
    from gridcode.cli.shared.advice import narrator
    from gridcode.studies.uvim.run import run_study

    run_study(parsed.study, parsed.out, workers=parsed.workers, say=narrator(), only_time=parsed.only_time)
    if not parsed.only_time:
        print((parsed.out / "table.md").read_text(encoding="utf-8"))
        print(f"table, study.json and pictures in {parsed.out}")
