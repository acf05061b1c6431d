"""``gridcode tokenize`` of texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.shared.parse import parse
from gridcode.cli.text.options import TextChange
from gridcode.cli.tokenize import StoreArguments, tokenize_examples


@dataclass(frozen=True)
class Arguments(StoreArguments):
    """Turn texts into a token store, in --out."""

    data: Annotated[TextChange, tyro.conf.arg(name="data")] = field(default_factory=TextChange)
    """Changes to the tokenizer's own data settings."""
    batch_size: int = 256
    """Windows at a time."""


def run(arguments: list[str]) -> None:
    """Write a store.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    tokenize_examples(parse(Arguments, arguments, prog="gridcode tokenize"), "text")
