"""The examples run from their first line to their last at a few steps, and stay short."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(FOLDER.glob("*.py"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_runs(program: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program), "--steps", "2"])
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out


def test_there_are_five_and_they_are_listed_and_short() -> None:
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(PROGRAMS) == 5
    for program in PROGRAMS:
        assert f"({program.name})" in listed
        code = [line for line in program.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert len(code) <= 60, program
