"""Table 2 of the paper: FSQ beside VQ on dense prediction, each variant through both stages.

The study's folder holds what every study's does, and

      observer/                  the network whose features compare colours
      TASK.png                   from top to bottom: input, truth, and both stages of each variant, of seed 0

Reference: the paper, section 5.3 and Table 2.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from gridcode.domains.dense.colour_sets import colour_observer
from gridcode.domains.dense.config import DenseEvaluationConfig
from gridcode.domains.dense.evaluate import BOTH
from gridcode.studies.results import trained_network
from gridcode.studies.study import Cell, Study, Values, cell_folder
from gridcode.studies.summary import Summary
from gridcode.studies.uvim.cell import rendered, run_cell
from gridcode.studies.uvim.config import UvimConfig, task_and_variant
from gridcode.studies.uvim.table import SHOWN, save_images, uvim_summary
from gridcode.studies.uvim.timing import time_cell
from gridcode.training.fabric import loop_device


@dataclass(frozen=True)
class UvimStudy(Study):
    """See the module."""

    name: ClassVar[str] = "uvim"
    choices: ClassVar[tuple[str, ...]] = ("seeds", "tasks", "variants")
    config: UvimConfig = field(default_factory=UvimConfig)

    def cells(self) -> list[Cell]:
        """See :class:`Study`; a task's together: its images are rendered once."""
        return self.config.cells()

    def kind(self, cell: Cell) -> str:
        """The task and the quantizer's family.

        >>> UvimStudy().kind(Cell("depth-vq_no_context", 2))
        'depth-vq'
        """
        return cell.setting.split("_")[0]

    def time_cell(self, cell: Cell) -> float:
        """See :class:`Study`; rendering, which a process does once a task, is spread over the task's cells."""
        timing = time_cell(self.config.run(cell), self.config.evaluation())
        return timing.cell + timing.images / (len(self.config.variants) * self.config.seeds)

    def prepare(self, out: Path) -> None:
        """Train the observer and leave it in its folder, for the cells of all processes."""
        colours = [cell for cell in self.cells() if task_and_variant(cell)[0] == "colour"]
        if not colours or (out / "observer").exists():
            return
        run = self.config.run(colours[0])
        colour_observer(
            rendered(run.data).train,
            run.data,
            steps=self.config.evaluation().observer_steps,
            device=loop_device(run.prior.loop),
            folder=str(out / "observer"),
        )

    def measured_by(self, out: Path) -> str | None:
        """The observer."""
        return trained_network(out / "observer")

    def run_cell(self, cell: Cell, out: Path) -> Values:
        """See :class:`Study`."""
        return run_cell(self.config.run(cell), self._evaluation(out), cell_folder(out, cell))

    def tidy(self, cell: Cell, out: Path) -> None:
        """Remove both stages' checkpoints."""
        for part in ("tokenizer", "prior"):
            shutil.rmtree(cell_folder(out, cell) / "run" / part / "state", ignore_errors=True)

    def headline(self, values: Values) -> str:
        """The first figure of both stages."""
        for shown in (shown[0] for shown in SHOWN.values()):
            if shown.name in values["scores"][BOTH]:
                return f"{shown.name} {values['scores'][BOTH][shown.name]:.4g}"
        return ""

    def summary(self, results: Mapping[Cell, Values]) -> Summary:
        """See :class:`Study`."""
        return uvim_summary(self.config, results)

    def save_images(self, out: Path) -> None:
        """See :class:`Study`."""
        save_images(self.config, out)

    def _evaluation(self, out: Path) -> DenseEvaluationConfig:
        return replace(self.config.evaluation(), observer=str(out / "observer"))
