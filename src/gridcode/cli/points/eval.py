"""``gridcode eval`` of clouds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import measure_examples, parse_measured
from gridcode.cli.points.options import PointsChange
from gridcode.cli.shared.models import MeasuredModels
from gridcode.cli.shared.options import FLAT
from gridcode.domains.points.config import PointsEvaluationConfig


@dataclass(frozen=True)
class Arguments(MeasuredModels):
    """Measure a tokenizer of clouds, and a prior, and write a report: gridcode eval [RECIPE] --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of what is measured. --out gets report.html, with scatter plots, and report.json.
    """

    data: Annotated[PointsChange, tyro.conf.arg(name="data")] = field(default_factory=PointsChange)
    """Changes to the tokenizer's own data settings."""
    evaluation: Annotated[PointsEvaluationConfig, FLAT] = field(default_factory=PointsEvaluationConfig)
    """How much is measured."""


def run(arguments: list[str]) -> None:
    """Measure and report.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_measured(Arguments, "points", arguments)
    from gridcode.domains.points.evaluate import evaluate_points
    from gridcode.domains.points.report import points_findings

    measure_examples(parsed, "points", evaluate_points, points_findings, arguments)
