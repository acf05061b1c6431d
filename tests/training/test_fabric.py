"""What setting up Lightning Fabric does not cost."""

from __future__ import annotations

import importlib
import sys

import pytest

from gridcode.training import lightning


def test_a_start_does_without_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchmetrics", "lightning_fabric"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with lightning.without_torchmetrics(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("torchmetrics")
    assert "torchmetrics" not in sys.modules
