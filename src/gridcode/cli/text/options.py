"""What the verbs ask about texts: how they are read, and the command lines of tokenize and eval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT, Changes
from gridcode.cli.tokenize import Tokenizing
from gridcode.domains.text.config import TextEvaluationConfig


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


@dataclass(frozen=True)
class StoreArguments(Tokenizing):
    """Turn texts into a token store, in --out."""

    data: TextChange = field(default_factory=TextChange)
    """Changes to the tokenizer's own data settings."""
    batch_size: int = 256
    """Windows at a time."""


@dataclass(frozen=True)
class EvalArguments(MeasuredModels):
    """Measure a tokenizer of texts, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with texts beside their
    reconstructions, and report.json.
    """

    data: TextChange = field(default_factory=TextChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[TextEvaluationConfig, FLAT] = field(default_factory=TextEvaluationConfig)
    """How much is measured."""
