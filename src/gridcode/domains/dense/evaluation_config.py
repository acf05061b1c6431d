"""How dense prediction is measured, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class DenseEvaluationConfig:
    """What ``gridcode dense eval`` measures.

    >>> DenseEvaluationConfig(count=200).train_count
    2000
    """

    count: int = 1000
    """Validation pictures, at most."""
    train_count: int = 2000
    """Training pictures, at most, from which the trivial baselines are made."""
    batch_size: int = 50
    """Pictures at a time."""
    draws: int = 16
    """Codes of each picture that are drawn as they are probable; 0 leaves out the rows of draws."""
    shown: int = 12
    """Pictures in the report."""
    observer_steps: int = 300
    """Colour: training steps of the network whose features the Fréchet distance compares; 0 leaves the distance out."""
    observer: str | None = None
    """That network's folder: read from there, or trained and kept there, so that reports share it."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        for name in ("count", "train_count", "batch_size", "shown"):
            if getattr(self, name) < 1:
                raise GridcodeError(f"evaluation {name} must be at least 1, got {getattr(self, name)}")
        for name in ("draws", "observer_steps"):
            if getattr(self, name) < 0:
                raise GridcodeError(f"evaluation {name} must be >= 0, got {getattr(self, name)}")
