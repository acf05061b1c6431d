"""``gridcode sample`` of clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gridcode.cli import sample
from gridcode.domains.points.config import PointsEvaluationConfig
from gridcode.errors import GridcodeError


@dataclass(frozen=True)
class Arguments(sample.Arguments):
    """Make new clouds: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets the clouds, and samples.png with scatter plots
    of all of them.
    """

    count: int = 4
    """How many of each class."""
    points: int | None = None
    """Points of a cloud; as many as in training by default."""
    format: Literal["npy", "ply"] = "npy"
    """Of the files."""


def run(arguments: list[str]) -> None:
    """Sample clouds.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = sample.parse_sampled(Arguments, "points", arguments, PointsEvaluationConfig())
    if parsed.points is not None and parsed.points < 1:
        raise GridcodeError(f"--points must be at least 1, got {parsed.points}")
    from gridcode.domains.points.domain import PointsDomain
    from gridcode.domains.points.files import write_cloud
    from gridcode.domains.points.show import scatter_plots
    from gridcode.evaluation.images import contact_sheet, save_png

    generator = parsed.models.load()
    assert isinstance(generator.tokenizer.domain, PointsDomain)
    generator.tokenizer.domain.points = parsed.points or generator.tokenizer.domain.points
    drawn = parsed.draw(generator)
    for stem, cloud in zip(drawn.stems, drawn.examples, strict=True):
        write_cloud(drawn.out / f"{stem}.{parsed.format}", cloud)
    sheet, count = drawn.out / "samples.png", len(drawn.examples)
    save_png(contact_sheet(scatter_plots(drawn.examples), columns=parsed.count), sheet)
    print(f"{count} cloud{'s' * (count != 1)} in {drawn.out}; scatter plots of all in {sheet}, a class a row")
