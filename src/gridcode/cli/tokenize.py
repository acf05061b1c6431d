"""``gridcode tokenize``: examples of any kind to a token store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gridcode.cli.shared.folders import check_folder, check_source, kind_of_data
from gridcode.cli.shared.kinds import KindOfData, data_of, own_verb
from gridcode.cli.shared.models import DenseDataChange, TokenizerModel
from gridcode.cli.shared.options import FLAT, DataChange, Output
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.store.reader import TokenStore


@dataclass(frozen=True)
class Arguments:
    """Turn pictures into a token store, in --out."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    data: Annotated[DataChange, tyro.conf.arg(name="data")] = field(default_factory=DataChange)
    """Changes to the tokenizer's own data settings."""
    flips: bool = False
    """Also store every training picture mirrored."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the encoder computes in; bf16 is faster where the hardware has it and changes about one token in fifty."""
    batch_size: int = 128
    """Pictures at a time."""
    engine: Literal["local", "ray"] = "local"
    """Where it is computed: in this process, or by the actors of a Ray cluster, which go on with a store that a killed
    command left."""
    actors: int | None = None
    """Actors of --engine ray; one a GPU, or one for each group of CPUs, where none are given."""
    address: str | None = None
    """A running Ray cluster, such as auto; where none is given, one is started on this machine."""


@dataclass(frozen=True)
class DenseArguments:
    """Turn label maps into a token store, in --out."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    data: DenseDataChange = field(default_factory=DenseDataChange)
    """Changes to the label tokenizer's own data settings."""


def run(arguments: list[str]) -> None:
    """Write a store. The tokenizer says which kind of data it is.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    kind = kind_of_data(arguments)
    return (own_verb(kind, "tokenize") or (_tokenize_labels if kind == "dense" else _tokenize_pictures))(arguments)


def _tokenize_labels(arguments: list[str]) -> None:
    parsed = parse(DenseArguments, arguments, prog="gridcode tokenize")
    _check(parsed)
    from gridcode.cli.shared.advice import narrator
    from gridcode.domains.dense.data.open import open_dense, understood
    from gridcode.domains.dense.domain import dense_domain
    from gridcode.domains.dense.train import tokenize_labels
    from gridcode.training.log import ProgressBar

    tokenizer = parsed.model.load()
    data = parsed.data.applied(dense_domain(tokenizer).data)
    splits = {"train": open_dense(data, "train"), "val": open_dense(data, "val")}
    say, output = narrator(), parsed.output
    for line in understood(data, splits["train"], splits["val"]):
        say(line)
    with ProgressBar("tokenize", total=sum(len(source) for source in splits.values())) as bar:
        store = tokenize_labels(
            tokenizer, splits, data, output.out, force=output.force, progress=lambda done, _: bar.advance(done)
        )
    _print_what_is_next(store, output.out)


def _tokenize_pictures(arguments: list[str]) -> None:
    parsed = parse(Arguments, arguments, prog="gridcode tokenize")
    _check(parsed)
    from gridcode.cli.shared.advice import narrator
    from gridcode.data.open import open_pictures, understood
    from gridcode.domains.image.domain import data_of
    from gridcode.tasks.tokenize import StoreOptions, tokenize, total_of
    from gridcode.training.log import ProgressBar

    if parsed.engine == "local" and (parsed.actors is not None or parsed.address is not None):
        raise GridcodeError("--actors and --address are of --engine ray; add it, or leave them out")
    make = _on_ray(parsed) if parsed.engine == "ray" else None
    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    splits = {"train": open_pictures(data, "train"), "val": open_pictures(data, "val")}
    say = narrator()
    for line in understood(splits["train"], splits["val"]):
        say(line)
    options = StoreOptions(
        parsed.output.out,
        batch_size=parsed.batch_size,
        flips=parsed.flips,
        precision=parsed.precision,
        force=parsed.output.force,
    )
    with ProgressBar("tokenize", total=total_of(splits.values())) as bar:

        def progress(done: int, _: int | None) -> None:
            bar.advance(done)

        if make is None:
            store = tokenize(tokenizer, splits, data, options, progress=progress)
        else:
            store = make(splits, data, options, progress=progress, say=say)
    _print_what_is_next(store, parsed.output.out)


def _on_ray(parsed: Arguments) -> Callable[..., TokenStore]:
    """What makes the store on a cluster; its options and the package are checked before anything is read."""
    from gridcode.tasks.on_ray import RayOptions, package, tokenize_on_ray

    where = RayOptions(parsed.actors, parsed.address)
    package()
    return partial(tokenize_on_ray, parsed.model.tokenizer, where=where)


def _check(parsed: Arguments | DenseArguments) -> None:
    """Refuse what is not there, before torch is imported."""
    check_source(parsed.data.source)
    check_folder("--tokenizer", parsed.model.tokenizer, "image tokenizer", "dense tokenizer")


@dataclass(frozen=True)
class KindArguments:
    """What the command lines of kinds with modules of their own share; each adds ``data``, its changes."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    batch_size: int = 64
    """Examples at a time."""


def tokenize_examples(parsed: Any, kind: KindOfData) -> None:
    """Write the training and the validation examples of a kind of data as a token store, and say what comes next.

    Args:
        parsed: Its command line, a :class:`KindArguments` with ``data``.
        kind: The kind.

    Raises:
        GridcodeError: What it names is wrong, the examples cannot be read, or the folder cannot be written.
    """
    check_source(parsed.data.source, kind)
    parsed.model.check(f"{kind} tokenizer")
    from gridcode.cli.shared.advice import narrator
    from gridcode.tasks.tokenize import StoreOptions, tokenize
    from gridcode.tokenizer.domain import Sources
    from gridcode.training.log import ProgressBar

    tokenizer, say = parsed.model.load(), narrator()
    domain, output = tokenizer.domain, parsed.output
    data = parsed.data.applied(data_of(kind, tokenizer))
    sources = Sources(domain.open(data, "train"), domain.open(data, "val"))
    for line in domain.understood(data, sources):
        say(line)
    options = StoreOptions(output.out, batch_size=parsed.batch_size, force=output.force)
    with ProgressBar("tokenize", total=len(sources.train) + len(sources.val)) as bar:
        store = tokenize(tokenizer, vars(sources), data, options, progress=lambda done, _: bar.advance(done))
    _print_what_is_next(store, output.out)


def _print_what_is_next(store: TokenStore, out: Path) -> None:
    rows = ", ".join(f"{store.rows(split):,} {split}" for split in store.splits)
    print(f"{rows} in {out}; next: gridcode train prior RECIPE --tokens {out} --out DIR")
