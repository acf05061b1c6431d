"""A study on images at smoke size, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridcode.cli.main import main
from gridcode.studies.images import ImageStudy
from gridcode.studies.results import read_study
from gridcode.studies.study import Cell

Found = tuple[str, dict[Cell, dict[str, Any]]]

SMOKE = ["--size", "smoke", "--seeds", "1", "--data.size", "16", "--data.train-count", "24", "--data.val-count", "12"]
SMOKE += ["--data.workers", "0", "--accelerator", "cpu"]


@pytest.fixture
def smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: None) -> Callable[..., Found]:
    """Runs a study with the given words; returns its table and its cells' figures. Its plot must be there too."""

    monkeypatch.setattr(ImageStudy, "time_cell", lambda study, cell: 1.0)

    def run(*words: str) -> Found:
        out = tmp_path / "study"
        assert main(["study", *words, *SMOKE, "--out", str(out)]) == 0
        assert (out / "plot.svg").is_file()
        return (out / "table.md").read_text(), read_study(out / "study.json")[1]

    return run
