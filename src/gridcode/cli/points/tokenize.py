"""``gridcode tokenize`` of clouds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.points.options import PointsChange
from gridcode.cli.shared.parse import parse
from gridcode.cli.tokenize import StoreArguments, tokenize_examples


@dataclass(frozen=True)
class Arguments(StoreArguments):
    """Turn clouds into a token store, in --out."""

    data: Annotated[PointsChange, tyro.conf.arg(name="data")] = field(default_factory=PointsChange)
    """Changes to the tokenizer's own data settings."""


def run(arguments: list[str]) -> None:
    """Write a store.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    tokenize_examples(parse(Arguments, arguments, prog="gridcode tokenize"), "points")
