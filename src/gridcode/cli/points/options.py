"""What the verbs ask about clouds: how they are read, and the command lines of tokenize and eval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT, Changes
from gridcode.cli.tokenize import Tokenizing
from gridcode.domains.points.config import PointsEvaluationConfig


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


@dataclass(frozen=True)
class StoreArguments(Tokenizing):
    """Turn clouds into a token store, in --out."""

    data: PointsChange = field(default_factory=PointsChange)
    """Changes to the tokenizer's own data settings."""


@dataclass(frozen=True)
class EvalArguments(MeasuredModels):
    """Measure a tokenizer of clouds, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with scatter plots, and report.json.
    """

    data: PointsChange = field(default_factory=PointsChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[PointsEvaluationConfig, FLAT] = field(default_factory=PointsEvaluationConfig)
    """How much is measured."""
