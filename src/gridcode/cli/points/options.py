"""The options that the verbs share for clouds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from gridcode.domains.points.config import PointsConfig


@dataclass(frozen=True)
class PointsReading:
    """How clouds are read, where it is not as the tokenizer was trained."""

    points: int | None = None
    """Points of a cloud; the tokenizer takes any number."""
    fewer: Literal["repeat", "refuse"] | None = None
    """A cloud of fewer points: draw some of them more than once, or refuse it."""
    on_error: Literal["stop", "skip"] | None = None
    """At a cloud that cannot be read: stop, or skip it and say so."""

    def applied(self, data: PointsConfig) -> PointsConfig:
        """The settings with these changes."""
        return replace(data, **{name: value for name, value in vars(self).items() if value is not None})


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

    def applied(self, data: PointsConfig) -> PointsConfig:
        """The settings with these changes; a new source leaves the old one's ``val_source`` behind."""
        return super().applied(data if self.source is None else replace(data, val_source=None))
