"""Tiny dense runs, and one that is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gridcode.data.labels.config import Task
from gridcode.studies.uvim.config import Cell, StudyConfig
from gridcode.tasks.dense.config import DenseRun
from gridcode.tasks.dense.train import DenseOptions, train_dense


@pytest.fixture(scope="session")
def tiny() -> Callable[[Task], DenseRun]:
    """The study's smallest size: 32 px, 2 x 2 codes, six steps."""
    return lambda task: StudyConfig(size="smoke").run(Cell(task, "fsq", 0))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[Task], DenseRun]) -> Callable[[Task], Path]:
    """The folder of a run of each task, trained once."""
    folders: dict[Task, Path] = {}

    def folder(task: Task) -> Path:
        if task not in folders:
            folders[task] = tmp_path_factory.mktemp("dense") / task
            train_dense(tiny(task), DenseOptions(folders[task], show=False))
        return folders[task]

    return folder
