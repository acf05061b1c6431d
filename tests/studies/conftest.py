"""Cells in threads for tests of what cells do: a process takes seconds to start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a study's cells in threads of this process, which nothing may kill."""
    monkeypatch.setattr("gridcode.studies.engine.processes", ThreadPoolExecutor)
