"""``gridcode tokenize``: pictures or label maps to a token store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gridcode.cli.arguments import DataChange, check_models, check_source, parse, usable_device
from gridcode.cli.models import DenseDataChange, kind_of_model

if TYPE_CHECKING:
    from gridcode.store.reader import TokenStore


@dataclass(frozen=True)
class Arguments:
    """Command line of ``tokenize``, for pictures."""

    tokenizer: str
    """A tokenizer's folder or hub id."""
    out: Path
    """Folder of the token store."""
    data: Annotated[DataChange, tyro.conf.arg(name="data")] = field(default_factory=DataChange)
    """Changes to the tokenizer's own data settings."""
    flips: bool = False
    """Also store every training picture mirrored."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the encoder computes in; bf16 is faster where the hardware has it and changes about one token in fifty."""
    batch_size: int = 128
    """Pictures at a time."""
    force: bool = False
    """Replace the store in --out."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


@dataclass(frozen=True)
class DenseArguments:
    """Command line of ``tokenize``, for label maps."""

    tokenizer: str
    """A label tokenizer's folder or hub id."""
    out: Path
    """Folder of the token store."""
    data: DenseDataChange = field(default_factory=DenseDataChange)
    """Changes to the label tokenizer's own data settings."""
    force: bool = False
    """Replace the store in --out."""
    device: str = "cpu"
    """Where to run: cpu, cuda, cuda:1, mps."""


def run(arguments: list[str]) -> None:
    """Write a store. The tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    (_tokenize_labels if kind_of_model(arguments) == "dense" else _tokenize_pictures)(arguments)


def _tokenize_labels(arguments: list[str]) -> None:
    description = "Turn label maps into a token store."
    parsed = parse(DenseArguments, arguments, prog="gridcode tokenize", description=description)
    check_source(parsed.data.source)
    from gridcode.cli.output import narrator
    from gridcode.domains.dense.data.open import open_dense, understood
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.train import tokenize_labels
    from gridcode.tokenizer.model import Tokenizer
    from gridcode.training.log import ProgressBar

    tokenizer = Tokenizer.from_pretrained(parsed.tokenizer, device=usable_device(parsed.device))
    data = parsed.data.applied(dense_domain(tokenizer).data)
    splits = {"train": open_dense(data, "train"), "val": open_dense(data, "val")}
    say = narrator()
    for line in understood(data, splits["train"], splits["val"]):
        say(line)
    with ProgressBar("tokenize", total=sum(len(source) for source in splits.values())) as bar:
        store = tokenize_labels(
            tokenizer, splits, data, parsed.out, force=parsed.force, progress=lambda done, _: bar.advance(done)
        )
    _print_what_is_next(store, parsed.out)


def _print_what_is_next(store: TokenStore, out: Path) -> None:
    rows = ", ".join(f"{store.rows(split):,} {split}" for split in store.splits)
    print(f"{rows} in {out}; next: gridcode train prior RECIPE --tokens {out} --out DIR")


def _tokenize_pictures(arguments: list[str]) -> None:
    parsed = parse(Arguments, arguments, prog="gridcode tokenize", description="Turn pictures into a token store.")
    check_source(parsed.data.source)
    check_models(parsed.tokenizer)
    from gridcode.cli.output import narrator
    from gridcode.data.open import open_split, understood
    from gridcode.domains.image.domain import data_of
    from gridcode.tasks.tokenize import StoreOptions, tokenize
    from gridcode.tokenizer.model import Tokenizer
    from gridcode.training.log import ProgressBar

    tokenizer = Tokenizer.from_pretrained(parsed.tokenizer, device=usable_device(parsed.device))
    data = parsed.data.applied(data_of(tokenizer))
    splits = {"train": open_split(data, "train"), "val": open_split(data, "val")}
    say = narrator()
    for line in understood(splits["train"], splits["val"]):
        say(line)
    options = StoreOptions(
        parsed.out,
        batch_size=parsed.batch_size,
        flips=parsed.flips,
        precision=parsed.precision,
        force=parsed.force,
    )
    total = sum(len(source) for source in splits.values())
    with ProgressBar("tokenize", total=total) as bar:
        store = tokenize(tokenizer, splits, data, options, progress=lambda done, _: bar.advance(done))
    _print_what_is_next(store, parsed.out)
