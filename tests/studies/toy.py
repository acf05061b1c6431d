"""A study whose cells take no time, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gridcode.errors import GridcodeError
from gridcode.studies.results import weights_below
from gridcode.studies.study import Cell, Study, Values
from gridcode.studies.summary import Column, Panel, Series, Spread, StudyTable, Summary, Verdict, by_setting


@dataclass(frozen=True)
class Toy(Study):
    """Squares of numbers; settings may fail, or kill their process, until a file says that all is well."""

    name: ClassVar[str] = "toy"
    numbers: tuple[int, ...] = (2, 3)
    fails: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()
    mended: str = ""
    model: str = ""

    def settings(self) -> Values:
        return {"numbers": list(self.numbers)}

    def weights(self) -> dict[str, str]:
        return {"model": weights_below(self.model)} if self.model else {}

    def cells(self) -> list[Cell]:
        return [Cell(str(number), seed) for number in self.numbers for seed in range(2)]

    def kind(self, cell: Cell) -> str:
        return "even" if int(cell.setting) % 2 == 0 else "odd"

    def time_cell(self, cell: Cell) -> float:
        if int(cell.setting) in self.fails:
            raise ValueError("the number is bad")
        return 1800.0

    def prepare(self, out: Path) -> None:
        (out / "prepared").write_text("once")

    def run_cell(self, cell: Cell, out: Path) -> Values:
        assert (out / "prepared").is_file()
        if not Path(self.mended).is_file():
            if int(cell.setting) in self.fails:
                raise GridcodeError("the number is bad") if cell.seed else ZeroDivisionError("no")
            if int(cell.setting) in self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
        return {"square": int(cell.setting) ** 2 + 0.1 * cell.seed}

    def headline(self, values: Values) -> str:
        return f"square {values['square']}"

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        squares = by_setting(results, "square")
        rows = [(name, Spread.of(values).text(2)) for name, values in squares.items()]
        column = Column("square", "square")
        series = Series("toy", {float(name): values for name, values in squares.items()})
        return Summary(
            "Squares",
            [Verdict("squares grow", "seen", f"{len(results)} cells")],
            [StudyTable("Squares", ("number", column.title), rows)],
            [Panel("square", [series], x="number")],
        )
