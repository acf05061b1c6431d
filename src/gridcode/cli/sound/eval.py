"""``gridcode eval`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import write_report
from gridcode.cli.shared.kinds import recipe_settings
from gridcode.cli.shared.models import MeasuredModels, TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
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
    evaluation, words = recipe_settings("audio", arguments, AudioEvaluationConfig())
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    parsed.check(parsed.data.source, "audio")
    from gridcode.domains.audio.data.source import open_sounds
    from gridcode.domains.audio.domain import data_of
    from gridcode.domains.audio.evaluate import AudioSubject, evaluate_audio
    from gridcode.domains.audio.report import audio_findings

    tokenizer, generator = parsed.load()
    data = parsed.data.applied(data_of(tokenizer))
    subject = AudioSubject(tokenizer, generator, data, open_sounds(data, "train"), open_sounds(data, "val"))
    write_report(parsed, subject, parsed.evaluation, evaluate_audio, audio_findings, arguments)
