"""What gridcode takes from Lightning Fabric, imported without torchmetrics.

``lightning_fabric`` imports all of torchmetrics, and with it scipy.signal and matplotlib, to compare its version. That
is two seconds of every start, for a detector of spikes that is not used here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torchmetrics() -> Iterator[None]:
    """Nothing imported in the block finds torchmetrics, unless it or ``lightning_fabric`` was there before."""
    if "torchmetrics" in sys.modules or "lightning_fabric" in sys.modules:
        yield
        return
    sys.modules["torchmetrics"] = None  # type: ignore[assignment]  # "not there", for an import statement
    try:
        yield
    finally:
        del sys.modules["torchmetrics"]


with without_torchmetrics():
    from lightning_fabric import Fabric, seed_everything
    from lightning_fabric.utilities.exceptions import MisconfigurationException

__all__ = ["Fabric", "MisconfigurationException", "seed_everything", "without_torchmetrics"]
