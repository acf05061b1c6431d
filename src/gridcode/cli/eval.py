"""``gridcode eval``: measure a tokenizer, and a prior, and write a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gridcode.cli.arguments import DataChange, check_models, check_source, parse, recipe_first, usable_device
from gridcode.domains.image.evaluation_config import EvaluationConfig


@dataclass(frozen=True)
class Arguments:
    """Command line of ``eval``."""

    tokenizer: str
    """A tokenizer's folder or hub id."""
    out: Path
    """Folder for report.html and report.json."""
    prior: str | None = None
    """A prior's folder or hub id; without one only the tokenizer is measured."""
    data: Annotated[DataChange, tyro.conf.arg(name="data")] = field(default_factory=DataChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[EvaluationConfig, tyro.conf.arg(name="")] = field(default_factory=EvaluationConfig)
    """How much is measured; a recipe's name as the first word sets the defaults."""
    force: bool = False
    """Replace the report in --out."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


def run(arguments: list[str]) -> None:
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = _parse(arguments)
    check_source(parsed.data.source)
    check_models(parsed.tokenizer, parsed.prior)
    from gridcode.cli.output import fresh_folder, narrator
    from gridcode.data.open import open_split, understood
    from gridcode.domains.image.data_of import data_of
    from gridcode.domains.image.evaluate import Subject, evaluate
    from gridcode.domains.image.report import image_findings
    from gridcode.evaluation.publish import Runs, publish
    from gridcode.tasks.generate import Generator
    from gridcode.tokenizer.model import Tokenizer
    from gridcode.training.progress import Stopwatch

    device = usable_device(parsed.device)
    tokenizer = Tokenizer.from_pretrained(parsed.tokenizer, device=device)
    generator = None
    if parsed.prior is not None:
        generator = Generator.from_pretrained(parsed.prior, tokenizer, device=device)
    data = parsed.data.applied(data_of(tokenizer))
    subject = Subject(tokenizer, generator, data, open_split(data, "train"), open_split(data, "val"))
    fresh_folder(parsed.out, force=parsed.force)
    say, watch = narrator(), Stopwatch()
    for line in understood(subject.train, subject.val):
        say(line)
    evaluation = evaluate(subject, parsed.evaluation, say=say, watch=watch)
    report = publish(
        image_findings(evaluation, subject, parsed.evaluation),
        Runs(tokenizer=Path(parsed.tokenizer), prior=None if parsed.prior is None else Path(parsed.prior)),
        out=parsed.out,
        command=shlex.join(["gridcode", "eval", *arguments]),
        seconds=watch.seconds,
    )
    for name, value in evaluation.figures().items():
        if value is not None:
            print(f"{name:48} {value:.4g}" if isinstance(value, float) else f"{name:48} {value}")
    print(f"report in {report}")


def _parse(words: Sequence[str]) -> Arguments:
    """The command line; a recipe's name may come first."""
    evaluation, words = recipe_first(words)
    default = Arguments(tokenizer=tyro.MISSING, out=tyro.MISSING, evaluation=evaluation)
    description = "Measure, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR."
    return parse(Arguments, words, prog="gridcode eval", default=default, description=description)
