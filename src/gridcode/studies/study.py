"""What a study is: cells that are trained and measured each on its own, and what a table of them says.

    cells() ─> run_cell(cell) ─> result.json, one a cell ─> summary(results) ─> tables, plots, verdicts

:mod:`gridcode.studies.engine` runs one; :mod:`gridcode.studies.summary` writes what it found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from gridcode.studies.summary import Summary

Values: TypeAlias = dict[str, Any]
"""What a cell found, as JSON holds it."""


@dataclass(frozen=True)
class Cell:
    """One setting of a study with one seed.

    >>> Cell("vq-1024", 2).folder
    'vq-1024-2'
    """

    setting: str
    """The setting's name within its study."""
    seed: int
    """The seed of weights, of order and of samples; the data are the same for all."""

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return f"{self.setting}-{self.seed}"


class Study(ABC):
    """An experiment. It is a frozen dataclass of its settings, so that worker processes get it by pickle."""

    name: ClassVar[str]
    """What ``gridcode study`` calls it."""
    config: Any
    """Everything that its figures depend on, a frozen dataclass."""
    paths: ClassVar[tuple[str, ...]] = ()
    """Settings, beside the data, that are paths of this machine: pages show their last part."""

    choices: ClassVar[tuple[str, ...]] = ("seeds",)
    """Settings that choose cells and change none: they may differ where a study goes on."""

    def settings(self) -> Values:
        """The config, as JSON holds it; a folder keeps the study of these alone."""
        return asdict(self.config)

    @abstractmethod
    def cells(self) -> list[Cell]:
        """All cells, in the order in which they are run."""

    @abstractmethod
    def kind(self, cell: Cell) -> str:
        """Cells of one kind take about the same time."""

    @abstractmethod
    def time_cell(self, cell: Cell) -> float:
        """Measure a few steps of a cell and tell how many seconds all of it takes. Called in a worker process."""

    def prepare(self, out: Path) -> None:  # noqa: B027  (most studies need nothing)
        """Make what all cells share, in the study's folder. Called once, in a worker process, before the first cell.

        Raises:
            GridcodeError: It cannot be made.
        """

    @abstractmethod
    def run_cell(self, cell: Cell, out: Path) -> Values:
        """Train and measure a cell, or go on where it was killed. Called in a worker process of one thread.

        Args:
            cell: Which.
            out: The study's folder; the cell's is ``out/cells/NAME``.

        Raises:
            GridcodeError: It cannot be trained.
            Stopped: A signal ended it.
        """

    def weights(self) -> dict[str, str]:
        """A hash of the weights of each model that is measured and was trained elsewhere, by the model's name.

        A study goes on, and takes finished cells, only with the same.

        Raises:
            GridcodeError: There is no such model.
        """
        return {}

    def measured_by(self, out: Path) -> str | None:
        """The name and weights of what measures cells, where each folder of the study trains its own; else None."""
        return None

    def tidy(self, cell: Cell, out: Path) -> None:  # noqa: B027  (not every study leaves what nobody needs)
        """Remove what only an unfinished cell needs, its checkpoints. Called once its result is written."""

    def steps(self) -> str:
        """How long a cell's stages are trained, in words, for the line below its figures; nothing where that varies."""
        return ""

    @abstractmethod
    def headline(self, values: Values) -> str:
        """A cell's most telling figures, for the line that says it is done."""

    @abstractmethod
    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """Tables, plots and verdicts of the cells that are done."""

    def save_images(self, out: Path) -> None:  # noqa: B027  (not every study shows images)
        """Leave images of the finished cells in the study's folder."""


def cell_folder(out: Path, cell: Cell) -> Path:
    """Where a cell's files are."""
    return out / "cells" / cell.folder
