"""``gridcode tokenize`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from gridcode.cli.shared.parse import parse
from gridcode.cli.sound.options import SoundChange
from gridcode.cli.tokenize import StoreArguments, tokenize_examples


@dataclass(frozen=True)
class Arguments(StoreArguments):
    """Turn sounds into a token store, in --out."""

    data: Annotated[SoundChange, tyro.conf.arg(name="data")] = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""


def run(arguments: list[str]) -> None:
    """Write a store.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    tokenize_examples(parse(Arguments, arguments, prog="gridcode tokenize"), "audio")
