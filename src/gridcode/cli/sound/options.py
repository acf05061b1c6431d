"""The options that the verbs share for sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gridcode.cli.shared.options import Changes
from gridcode.domains.audio.config import Labels


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
