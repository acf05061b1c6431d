"""``gridcode eval`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import measure_examples, parse_measured
from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT
from gridcode.cli.sound.options import SoundChange
from gridcode.domains.audio.config import AudioEvaluationConfig


@dataclass(frozen=True)
class Arguments(MeasuredModels):
    """Measure a tokenizer of sounds, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with players, and report.json.
    """

    data: Annotated[SoundChange, tyro.conf.arg(name="data")] = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[AudioEvaluationConfig, FLAT] = field(default_factory=AudioEvaluationConfig)
    """How much is measured."""


def run(arguments: list[str]) -> None:
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_measured(Arguments, "audio", arguments)
    from gridcode.domains.audio.evaluate import evaluate_audio
    from gridcode.domains.audio.report import audio_findings

    measure_examples(parsed, "audio", evaluate_audio, audio_findings, arguments)
