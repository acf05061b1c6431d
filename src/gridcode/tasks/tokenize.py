"""Examples to a token store: what Stage II learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.store.manifest import Manifest, make_manifest
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tokenizer.model import Tokenizer

FLIP: Final = "#flip"
"""Ends the key of a row that is of the mirrored example."""


@dataclass(frozen=True)
class StoreOptions:
    """How a store is written.

    Attributes:
        out: The store's folder.
        batch_size: Examples at a time.
        flips: Also store every training example mirrored, under its key with ``#flip``.
        precision: What the encoder computes in; bf16 is faster where the hardware has it, changes about one token in
            fifty and no PSNR that could be measured (LOG.md). The manifest records it.
        force: Replace a store that is there.
    """

    out: Path
    batch_size: int = 128
    flips: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    force: bool = False


def tokenize(
    tokenizer: Tokenizer,
    splits: Mapping[str, Any],
    data: Any,
    options: StoreOptions,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> TokenStore:
    """Encode every example of every split, in order, as in validation: images are centre-cropped.

    Args:
        tokenizer: In evaluation mode.
        splits: The examples, by split name.
        data: How they are read; recorded in the manifest.
        options: Where and how.
        progress: Called with (examples done, examples in all); None where a stream's number is not known.

    Returns:
        The written store, opened.

    Raises:
        GridcodeError: An example cannot be read, the folder is occupied, or the examples are others than those that the
            tokenizer learned.
    """
    manifest = manifest_of(tokenizer, splits, data, options)
    done, total = 0, total_of(splits.values())
    with StoreWriter.of(options.out, manifest, overwrite=options.force) as writer:
        for split, source in splits.items():
            for rows in encoded(tokenizer, split, source, data, options):
                writer.write(split, rows.tokens, rows.labels, rows.keys, rows.columns)
                done += rows.examples
                if progress is not None and rows.examples:
                    progress(done, total)
    return TokenStore.open(options.out, tokenizer=manifest.tokenizer)


def manifest_of(tokenizer: Tokenizer, splits: Mapping[str, Any], data: Any, options: StoreOptions) -> Manifest:
    """What a store of these examples says of itself, without shards.

    Raises:
        GridcodeError: The examples are others than those that the tokenizer learned.
    """
    domain = tokenizer.domain
    domain.check_data(data)
    return make_manifest(
        quantizer=tokenizer.quantizer.spec(),
        codebook_size=tokenizer.codebook_size,
        grid=tokenizer.token_grid(*domain.shape(data)),
        axes=len(tokenizer.config.grid_names),
        tokenizer=tokenizer.weights_hash(),
        data=domain.store_record(data, splits, flips=options.flips, precision=options.precision),
        classes=tuple(getattr(next(iter(splits.values())), "classes", ())),
        columns=_columns(splits),
    )


def _columns(splits: Mapping[str, Any]) -> dict[str, str]:
    """What stands beside the examples, which is the same in all splits."""
    found = {split: dict(getattr(source, "columns", {})) for split, source in splits.items()}
    (first, columns), *others = found.items()
    for split, other in others:
        if other != columns:
            one, two = (", ".join(f"{name} ({kind})" for name, kind in each.items()) for each in (columns, other))
            raise GridcodeError(
                f"columns are {one or 'none'} of {first}, but {two or 'none'} of {split}; keep the same"
            )
    return columns


class Rows(NamedTuple):
    """Rows of a store."""

    tokens: Tensor
    """Indices in [0, K), (B, *grid)."""
    labels: Tensor
    """int64, (B,); -1 where there is none."""
    keys: tuple[str, ...]
    """B names."""
    examples: int
    """How many examples they complete: none, where the mirrored ones are to come."""
    skipped: tuple[str, ...] = ()
    """One message for each example that could not be read on the way."""
    columns: Mapping[str, Sequence[Any]] = MappingProxyType({})
    """B values of each further column."""


def encoded(tokenizer: Tokenizer, split: str, source: Any, data: Any, options: StoreOptions) -> Iterator[Rows]:
    """The rows of a source's examples, in order.

    Args:
        tokenizer: In evaluation mode.
        split: Its name: the training examples' rows may be followed by those of their mirrored selves, batch by batch.
        source: The examples.
        data: How they are read.
        options: Size of a batch, precision and flips.
    """
    domain, device, flips = tokenizer.domain, tokenizer.device, options.flips and split == "train"

    def encode(inputs: tuple[Tensor, ...]) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            return tokenizer.encode(*(tensor.to(device) for tensor in inputs)).cpu()

    for batch in domain.eval_batches(source, data, batch_size=options.batch_size):
        labels, keys = domain.class_labels(batch), tuple(batch.keys)
        skipped = tuple(getattr(batch, "skipped", ()))
        beside = getattr(batch, "beside", ())
        columns = {name: [values[name] for values in beside] for name in (beside[0] if beside else ())}
        yield Rows(encode(domain.encode_inputs(batch)), labels, keys, 0 if flips else len(keys), skipped, columns)
        if flips:
            tokens, mirrored = encode(domain.mirrored(batch)), tuple(f"{key}{FLIP}" for key in keys)
            yield Rows(tokens, labels, mirrored, len(keys), columns=columns)


def total_of(sources: Iterable[Any]) -> int | None:
    """How many examples some sources have; None where one of them is a stream.

    >>> total_of([range(3), range(4)]), total_of([iter("a")])
    (7, None)
    """
    counts = [len(source) if isinstance(source, Sized) else None for source in sources]
    return None if None in counts else sum(count for count in counts if count is not None)
