"""``gridcode tokenize`` of texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.shared.folders import check_source
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.cli.text.options import TextChange
from gridcode.cli.tokenize import tokenize_examples


@dataclass(frozen=True)
class Arguments:
    """Turn texts into a token store, in --out."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    data: Annotated[TextChange, tyro.conf.arg(name="data")] = field(default_factory=TextChange)
    """Changes to the tokenizer's own data settings."""
    batch_size: int = 256
    """Windows at a time."""


def run(arguments: list[str]) -> None:
    """Write a store.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(Arguments, arguments, prog="gridcode tokenize")
    check_source(parsed.data.source, "text")
    parsed.model.check("text tokenizer")
    from gridcode.domains.text.domain import data_of

    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    tokenize_examples(tokenizer, data, parsed.output, batch_size=parsed.batch_size)
