from .cell import run_cell as run_cell
from .config import Cell as Cell
from .config import StudyConfig as StudyConfig
from .run import run_study as run_study
from .table import study_table as study_table
