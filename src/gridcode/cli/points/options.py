"""The options that the verbs share for clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gridcode.cli.shared.options import Changes


@dataclass(frozen=True)
class PointsReading(Changes):
    """How clouds are read, where it is not as the tokenizer was trained."""

    points: int | None = None
    """Points of a cloud; the tokenizer takes any number."""
    fewer: Literal["repeat", "refuse"] | None = None
    """A cloud of fewer points: draw some of them more than once, or refuse it."""
    on_error: Literal["stop", "skip"] | None = None
    """At a cloud that cannot be read: stop, or skip it and say so."""


@dataclass(frozen=True)
class PointsChange(PointsReading):
    """Where the clouds are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Clouds to read, for training and validation, or 'solids'; the tokenizer's own data by default."""
    train_count: int | None = None
    """Number of training solids; only for 'solids'."""
    val_count: int | None = None
    """Number of validation solids; only for 'solids'."""
    val_source: str | None = None
    """Clouds for validation, where they are not beside or among those of --data.source."""
    workers: int | None = None
    """Processes that read clouds."""
