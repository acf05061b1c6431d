"""What the verbs ask about sounds: how they are read, and the command lines of tokenize and eval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT, Changes
from gridcode.cli.tokenize import Tokenizing
from gridcode.domains.audio.config import AudioEvaluationConfig, Labels


@dataclass(frozen=True)
class SoundReading(Changes):
    """How sounds are read, where it is not as the tokenizer was trained."""

    on_error: Literal["stop", "skip"] | None = None
    """At a sound that cannot be read: stop, or skip it and say so."""


@dataclass(frozen=True)
class SoundChange(SoundReading):
    """Where the sounds are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Sounds to read, for training and validation; the tokenizer's own data by default."""
    samples: int | None = None
    """Length of an example; the tokenizer's own by default."""
    labels: Labels | None = None
    """Where classes come from."""
    val_source: str | None = None
    """Sounds for validation, where they are not beside or among those of --data.source."""
    workers: int | None = None
    """Processes that read sounds."""


@dataclass(frozen=True)
class StoreArguments(Tokenizing):
    """Turn sounds into a token store, in --out."""

    data: SoundChange = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""


@dataclass(frozen=True)
class EvalArguments(MeasuredModels):
    """Measure a tokenizer of sounds, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with players, and report.json.
    """

    data: SoundChange = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[AudioEvaluationConfig, FLAT] = field(default_factory=AudioEvaluationConfig)
    """How much is measured."""
