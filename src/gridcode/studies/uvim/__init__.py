"""Table 2 of the paper at a chosen size: FSQ beside VQ with and without splitting, with and without context."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.studies.uvim.cell import run_cell as run_cell
    from gridcode.studies.uvim.config import Cell as Cell
    from gridcode.studies.uvim.config import StudyConfig as StudyConfig
    from gridcode.studies.uvim.run import run_study as run_study
    from gridcode.studies.uvim.table import study_table as study_table

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cell": ["run_cell"],
        "config": ["Cell", "StudyConfig"],
        "run": ["run_study"],
        "table": ["study_table"],
    },
)
