"""``gridcode eval`` of sounds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.shared.folders import check_folder, check_source
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.cli.sound.options import SoundChange, recipe_of_sounds
from gridcode.domains.audio.config import AudioEvaluationConfig


@dataclass(frozen=True)
class Arguments:
    """Measure a tokenizer of sounds, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with players, and report.json.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    prior: str | None = None
    """A prior's folder or hub id; without one only the tokenizer is measured."""
    data: Annotated[SoundChange, tyro.conf.arg(name="data")] = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[AudioEvaluationConfig, FLAT] = field(default_factory=AudioEvaluationConfig)
    """How much is measured."""


def eval_sounds(arguments: list[str]) -> None:
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    evaluation, words = recipe_of_sounds(arguments)
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    check_source(parsed.data.source, what="sounds")
    parsed.model.check("audio tokenizer")
    check_folder("--prior", parsed.prior, "class prior")
    from gridcode.cli.shared.advice import narrator
    from gridcode.domains.audio.data.source import open_sounds
    from gridcode.domains.audio.domain import data_of
    from gridcode.domains.audio.evaluate import AudioSubject, evaluate_audio
    from gridcode.domains.audio.report import audio_findings
    from gridcode.evaluation.publish import Runs, print_figures, publish
    from gridcode.tasks.generate import Generator

    tokenizer, prior = parsed.model.load(), parsed.prior
    generator = None if prior is None else Generator.from_pretrained(prior, tokenizer, device=tokenizer.device)
    data = parsed.data.applied(data_of(tokenizer))
    subject = AudioSubject(tokenizer, generator, data, open_sounds(data, "train"), open_sounds(data, "val"))
    out = parsed.output.make()
    found = evaluate_audio(subject, parsed.evaluation, say=narrator())
    runs = Runs(tokenizer=Path(parsed.model.tokenizer), prior=None if prior is None else Path(prior))
    findings = audio_findings(found, subject, parsed.evaluation)
    report = publish(findings, runs, out=out, command=shlex.join(["gridcode", "eval", *arguments]))
    print_figures(found.figures())
    print(f"report in {report}")
