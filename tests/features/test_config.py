from __future__ import annotations

import subprocess
import sys

import pytest

from gridcode.errors import GridcodeError
from gridcode.features import ClassifierConfig


@pytest.mark.parametrize(("size", "grid"), [(16, 2), (28, 4), (32, 4), (64, 8), (128, 8), (256, 8)])
def test_the_last_grid_stays_small_at_every_size(size: int, grid: int) -> None:
    stages = ClassifierConfig(classes=2, size=size).stage_widths
    assert -(-size // 2 ** len(stages)) == grid


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"classes": 1}, "classifier.classes must be at least 2, got 1"),
        ({"classes": 3, "widths": ()}, "classifier.widths is empty"),
        ({"classes": 3, "channels": 2}, "classifier.channels must be 1"),
        ({"classes": 3, "lr": float("nan")}, "classifier.lr must be > 0, got nan"),
        ({"classes": 3, "size": 8}, "classifier.size must be at least 16, got 8"),
    ],
)
def test_errors_name_the_setting(setting: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        ClassifierConfig(**setting)  # type: ignore[arg-type]


def test_the_config_imports_no_torch() -> None:
    code = "import sys, gridcode.features.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
