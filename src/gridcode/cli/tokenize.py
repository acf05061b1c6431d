"""``gridcode tokenize``: examples of any kind to a token store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gridcode.cli.shared.folders import check_source, kind_of_data
from gridcode.cli.shared.kinds import KindOfData, data_of, own_form
from gridcode.cli.shared.models import DenseDataChange, TokenizerModel
from gridcode.cli.shared.options import FLAT, DataChange, Output
from gridcode.cli.shared.parse import parse
from gridcode.errors import GridcodeError

if TYPE_CHECKING:
    from gridcode.store.reader import TokenStore


@dataclass(frozen=True)
class Tokenizing:
    """What the command lines of the kinds of data share; each adds ``data``, its changes."""

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    batch_size: int = 64
    """Examples at a time."""
    engine: Literal["local", "ray"] = "local"
    """Where it is computed: in this process, or by the actors of a Ray cluster, which go on with a store that a killed
    command left."""
    actors: int | None = None
    """Actors of --engine ray; by default one a GPU with --device cuda, else one for every 1 + --data.workers CPUs."""
    address: str | None = None
    """A running Ray cluster, such as auto; where none is given, one is started on this machine."""

    def on_ray(self) -> Callable[..., TokenStore]:
        """What makes the store on a cluster; its options and the package are checked before anything is read.

        Raises:
            GridcodeError: An option is out of its range, or Ray is not installed.
        """
        from gridcode.tasks.on_ray import RayOptions, package, tokenize_on_ray

        where = RayOptions(self.actors, self.address, self.model.device.name)
        package()
        return partial(tokenize_on_ray, where=where)


@dataclass(frozen=True)
class ImageChange(DataChange):
    """Where the images are, and whether they are read as a stream."""

    stream: bool = False
    """Read local tar and Parquet files from front to back, without an index of their images."""

    def applied(self, config: Any) -> Any:
        """The settings with the changes; a tokenizer that was trained on a stream stays with one."""
        return replace(super().applied(config), stream=self.stream or config.stream)


@dataclass(frozen=True)
class Arguments(Tokenizing):
    """Turn images into a token store, in --out."""

    batch_size: int = 128
    """Images at a time."""
    data: ImageChange = field(default_factory=ImageChange)
    """Changes to the tokenizer's own data settings."""
    columns: tuple[str, ...] = ()
    """What else is kept of each image: other columns of Parquet files and saved data sets; of tar shards, extensions
    such as txt and json."""
    flips: bool = False
    """Also store every training image mirrored."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the encoder computes in; bf16 is faster where the hardware has it and changes about one token in fifty."""


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
    form = own_form(kind, "StoreArguments")
    if form is not None:
        tokenize_examples(parse(form, arguments, prog="gridcode tokenize"), kind)
    elif kind == "dense":
        _tokenize_labels(arguments)
    else:
        parsed = parse(Arguments, arguments, prog="gridcode tokenize")
        tokenize_examples(parsed, "image", parsed.columns, flips=parsed.flips, precision=parsed.precision)


def _tokenize_labels(arguments: list[str]) -> None:
    parsed = parse(DenseArguments, arguments, prog="gridcode tokenize")
    check_source(parsed.data.source, "dense")
    parsed.model.check("dense tokenizer")
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


def tokenize_examples(parsed: Any, kind: KindOfData, columns: Sequence[str] = (), **options: Any) -> None:
    """Write the training and the validation examples of a kind of data as a token store, and say what comes next.

    Args:
        parsed: Its command line, :class:`Tokenizing` with ``data``.
        kind: The kind.
        columns: What else is kept of each image.
        options: What the kind sets of :class:`gridcode.tasks.tokenize.StoreOptions`.

    Raises:
        GridcodeError: What it names is wrong, the examples cannot be read, or the folder cannot be written.
    """
    check_source(parsed.data.source, kind)
    parsed.model.check(f"{kind} tokenizer")
    if parsed.engine == "local" and (parsed.actors is not None or parsed.address is not None):
        raise GridcodeError("--actors and --address are of --engine ray; add it, or leave them out")
    from gridcode.cli.shared.advice import narrator
    from gridcode.tasks.tokenize import StoreOptions, tokenize, total_of
    from gridcode.tokenizer.domain import Sources
    from gridcode.tokenizer.model import Tokenizer
    from gridcode.training.log import ProgressBar

    say, output = narrator(), parsed.output
    make: Callable[..., TokenStore] = tokenize
    if parsed.engine == "ray":
        make = partial(parsed.on_ray(), say=say)
        tokenizer = Tokenizer.from_pretrained(parsed.model.tokenizer, device="cpu")
    else:
        tokenizer = parsed.model.load()
    domain, data = tokenizer.domain, parsed.data.applied(data_of(kind, tokenizer))
    sources = Sources(domain.open(data, "train"), domain.open(data, "val"))
    for line in domain.understood(data, sources):
        say(line)
    if columns:
        from gridcode.data.open import keep_columns

        sources = Sources(*(keep_columns(source, columns) for source in (sources.train, sources.val)))
    settings = StoreOptions(output.out, batch_size=parsed.batch_size, force=output.force, **options)
    with ProgressBar("tokenize", total=total_of(vars(sources).values())) as bar:
        store = make(tokenizer, vars(sources), data, settings, progress=lambda done, _: bar.advance(done))
    _print_what_is_next(store, output.out)


def _print_what_is_next(store: TokenStore, out: Path) -> None:
    rows = ", ".join(f"{store.rows(split):,} {split}" for split in store.splits)
    print(f"{rows} in {out}; next: gridcode train prior RECIPE --tokens {out} --out DIR")
