"""``gridcode tokenize`` of sounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from gridcode.cli.shared.folders import check_source
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.shared.parse import parse
from gridcode.cli.sound.options import SoundChange

if TYPE_CHECKING:
    from pathlib import Path

    from gridcode.store.reader import TokenStore


@dataclass(frozen=True)
class Arguments:
    """Turn sounds into a token store, in --out."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    data: Annotated[SoundChange, tyro.conf.arg(name="data")] = field(default_factory=SoundChange)
    """Changes to the tokenizer's own data settings."""
    batch_size: int = 64
    """Sounds at a time."""


def tokenize_sounds(arguments: list[str]) -> tuple[TokenStore, Path]:
    """Write a store; returns it and its folder.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse(Arguments, arguments, prog="gridcode tokenize")
    check_source(parsed.data.source, what="sounds")
    parsed.model.check("audio tokenizer")
    from gridcode.cli.shared.advice import narrator
    from gridcode.domains.audio.domain import data_of
    from gridcode.tasks.tokenize import StoreOptions, tokenize
    from gridcode.tokenizer.domain import Sources
    from gridcode.training.log import ProgressBar

    tokenizer = parsed.model.load()
    data, kind, say = parsed.data.applied(data_of(tokenizer)), tokenizer.domain, narrator()
    sources = Sources(kind.open(data, "train"), kind.open(data, "val"))
    for line in kind.understood(data, sources):
        say(line)
    options = StoreOptions(parsed.output.out, batch_size=parsed.batch_size, force=parsed.output.force)
    with ProgressBar("tokenize", total=len(sources.train) + len(sources.val)) as bar:
        store = tokenize(tokenizer, vars(sources), data, options, progress=lambda done, _: bar.advance(done))
    return store, parsed.output.out
