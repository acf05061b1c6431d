"""What the verbs ask about clips: how they are read, and the command lines of tokenize and eval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT, Changes
from gridcode.cli.tokenize import Tokenizing
from gridcode.domains.video.config import VideoEvaluationConfig


@dataclass(frozen=True)
class VideoReading(Changes):
    """How videos are read, where it is not as the tokenizer was trained."""

    frames: int | None = None
    """Frames of a clip."""
    stride: int | None = None
    """Every so many frames of a video one is taken."""
    fps: float | None = None
    """Frames per second that a video is brought to first."""
    size: int | None = None
    """Side of the square frames, in pixels."""
    fewer: Literal["repeat", "refuse"] | None = None
    """A video of fewer frames: repeat its last one, or refuse it."""
    on_error: Literal["stop", "skip"] | None = None
    """At a video that cannot be read: stop, or skip it and say so."""


@dataclass(frozen=True)
class VideoChange(VideoReading):
    """Where the videos are, when they are not where the tokenizer was trained."""

    source: str | None = None
    """Videos to read, for training and validation, or 'motion'; the tokenizer's own data by default."""
    train_count: int | None = None
    """Number of training scenes; only for 'motion'."""
    val_count: int | None = None
    """Number of validation scenes; only for 'motion'."""
    val_source: str | None = None
    """Videos for validation, where they are not beside or among those of --data.source."""
    workers: int | None = None
    """Processes that read videos."""


@dataclass(frozen=True)
class StoreArguments(Tokenizing):
    """Turn clips into a token store, in --out."""

    data: VideoChange = field(default_factory=VideoChange)
    """Changes to the tokenizer's own data settings."""


@dataclass(frozen=True)
class EvalArguments(MeasuredModels):
    """Measure a tokenizer of clips, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with animations, and report.json.
    """

    data: VideoChange = field(default_factory=VideoChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[VideoEvaluationConfig, FLAT] = field(default_factory=VideoEvaluationConfig)
    """How much is measured."""
