"""``gridcode eval`` of texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import write_report
from gridcode.cli.shared.kinds import recipe_settings
from gridcode.cli.shared.models import MeasuredModels, TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.cli.text.options import TextChange
from gridcode.domains.text.config import TextEvaluationConfig


@dataclass(frozen=True)
class Arguments(MeasuredModels):
    """Measure a tokenizer of texts, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with texts beside their
    reconstructions, and report.json.
    """

    data: Annotated[TextChange, tyro.conf.arg(name="data")] = field(default_factory=TextChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[TextEvaluationConfig, FLAT] = field(default_factory=TextEvaluationConfig)
    """How much is measured."""


def run(arguments: list[str]) -> None:
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    evaluation, words = recipe_settings("text", arguments, TextEvaluationConfig())
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    parsed.check(parsed.data.source, "text")
    from gridcode.domains.text.data import open_texts
    from gridcode.domains.text.domain import data_of
    from gridcode.domains.text.evaluate import TextSubject, evaluate_text
    from gridcode.domains.text.report import text_findings

    tokenizer, generator = parsed.load()
    data = parsed.data.applied(data_of(tokenizer))
    subject = TextSubject(tokenizer, generator, data, open_texts(data, "train"), open_texts(data, "val"))
    write_report(parsed, subject, parsed.evaluation, evaluate_text, text_findings, arguments)
