"""The options that the verbs share for texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gridcode.cli.shared.options import Changes


@dataclass(frozen=True)
class TextReading(Changes):
    """How texts are read, where it is not as the tokenizer was trained."""

    on_error: Literal["stop", "skip"] | None = None
    """At a file that is empty or cannot be read: stop, or skip it and say so."""


@dataclass(frozen=True)
class TextChange(TextReading):
    """Where the texts are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Texts to read, for training and validation; the tokenizer's own data by default."""
    window: int | None = None
    """Length of an example in bytes; the tokenizer's own by default."""
    val_source: str | None = None
    """Texts for validation, where they are not the ends of those of --data.source."""
    val_fraction: float | None = None
    """Share of each text, at its end, that is held out."""
