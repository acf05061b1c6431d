"""``gridcode eval`` of clouds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.eval import write_report
from gridcode.cli.points.options import PointsChange
from gridcode.cli.shared.kinds import recipe_settings
from gridcode.cli.shared.models import MeasuredModels, TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
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
    evaluation, words = recipe_settings("points", arguments, PointsEvaluationConfig())
    default = Arguments(TokenizerModel(tyro.MISSING), Output(tyro.MISSING), evaluation=evaluation)
    parsed = parse(Arguments, words, prog="gridcode eval", default=default)
    parsed.check(parsed.data.source, "points")
    from gridcode.domains.points.data.source import open_clouds
    from gridcode.domains.points.domain import data_of
    from gridcode.domains.points.evaluate import PointsSubject, evaluate_points
    from gridcode.domains.points.report import points_findings

    tokenizer, generator = parsed.load()
    data = parsed.data.applied(data_of(tokenizer))
    subject = PointsSubject(tokenizer, generator, data, open_clouds(data, "train"), open_clouds(data, "val"))
    write_report(parsed, subject, parsed.evaluation, evaluate_points, points_findings, arguments)
