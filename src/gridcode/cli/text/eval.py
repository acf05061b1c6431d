"""``gridcode eval`` of texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import measure_examples, parse_measured
from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT
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
    parsed = parse_measured(Arguments, "text", arguments)
    from gridcode.domains.text.evaluate import evaluate_text
    from gridcode.domains.text.report import text_findings

    measure_examples(parsed, "text", evaluate_text, text_findings, arguments)
