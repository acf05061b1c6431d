"""A token store as one small file for each split, whose blocks can be read alone.

    store, split --blocks of 256 examples--> coder --> one bitstream (codec/bitstream.py)

In the stream's section ``about``, compressed by zlib, are the store's manifest and the examples' labels, keys and
further columns. Of the tokens a block costs 12 bytes more than their information, two checksums and the range coder's
end: 0.01 bits per token for blocks of 256 grids of 7x7. So by a prior the tokens take the bits that ``gridcode eval``
tells, within 1 %; the labels, which the prior is given, are in ``about``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch

from gridcode.codec.bitstream import (
    Bitstream,
    Coder,
    Header,
    check_seal,
    coded_part,
    pack_stream,
    parse_stream,
    seal,
)
from gridcode.codec.coders import decode_tokens, encode_tokens
from gridcode.codec.histogram import pack_counts
from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.files import from_json, to_json, write_atomic
from gridcode.prior.base import Prior
from gridcode.prior.coding.coder import PriorCoder
from gridcode.store.reader import TokenStore, TokenTable
from gridcode.store.writer import StoreWriter

BLOCK = 256
"""Examples of a block."""
MAX_TOKENS = 2**26
"""Tokens of a block that a reader allocates, at most: 512 MiB."""
_LARGEST_ABOUT = 2**30


def code_split(
    store: TokenStore,
    split: str,
    path: str | Path,
    *,
    prior: Prior | None = None,
    coder: Coder | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a split of a store as one coded file.

    Args:
        store: The tokens.
        split: Its name.
        path: The file.
        prior: Of these tokens, in evaluation mode; for the coder ``prior``.
        coder: By default ``prior`` where one is given, else ``static``.
        block: Examples of a block.
        progress: Called with (examples done, examples in all).

    Returns:
        The file's bytes.

    Raises:
        GridcodeError: There is no such split, the prior learned other tokens, or the store names its tokenizer by
            anything but a hash.

    >>> import tempfile
    >>> from gridcode.store.writer import StoreWriter
    >>> folder = Path(tempfile.mkdtemp())
    >>> with StoreWriter(folder / "tokens", quantizer={}, codebook_size=40, grid=(2, 2), tokenizer="0123456789abcdef",
    ...                  data={}, classes=("cat", "dog")) as writer:
    ...     writer.write("train", torch.tensor([[[0, 1], [2, 39]]]), torch.tensor([1]), ["first"])
    >>> size = code_split(TokenStore.open(folder / "tokens"), "train", folder / "train.gc")
    >>> CodedTokens.open(folder / "train.gc").load()
    TokenTable(tokens=tensor([[ 0,  1,  2, 39]]), labels=tensor([1]), keys=('first',)...)
    """
    manifest, rows = store.manifest, store.rows(split)
    coder = coder or ("static" if prior is None else "prior")
    if not re.fullmatch("[0-9a-f]{16}", manifest.tokenizer):
        raise GridcodeError(
            f"{store.folder} was made by tokenizer {manifest.tokenizer!r}, which is no hash of weights (16 hexadecimal "
            "digits), so that a coded file cannot name it; write the store with one"
        )
    if coder == "prior" and prior is None:
        raise GridcodeError("the coder prior needs a prior: give one that was trained on this store")
    if prior is not None and prior.space.tokenizer != manifest.tokenizer:
        raise GridcodeError(
            f"this prior learned the tokens of tokenizer {prior.space.tokenizer}, the store is of "
            f"{manifest.tokenizer}; give a prior that was trained on it"
        )
    by_prior = PriorCoder(prior) if prior is not None and coder == "prior" else None
    if by_prior is not None and by_prior.prior.space.grid != manifest.grid:
        raise GridcodeError(
            f"this prior learned grids of {by_prior.prior.space.grid}, the store has {manifest.grid}; give a prior "
            "that was trained on it"
        )
    labels: list[int] = []
    keys: list[str] = []
    columns: dict[str, list[Any]] = {name: [] for name in manifest.columns}
    counted = store.load(split).tokens.numpy() if coder == "static" else np.empty(0, np.int64)
    header = Header(
        coder,
        manifest.tokenizer,
        manifest.codebook_size,
        manifest.grid,
        examples=rows,
        block=min(block, rows),
        coding=by_prior.settings(min(block, rows)) if by_prior else None,
        table=pack_counts(counted, manifest.codebook_size) if coder == "static" else b"",
    )
    payloads = []
    for table in store.batches(split, header.block):
        tokens = table.tokens.numpy()
        if by_prior is not None and header.coding is not None:
            if not _has_classes(by_prior.prior, table.labels.tolist()):
                raise GridcodeError(
                    f"this prior learned {len(by_prior.prior.space.classes)} classes, the store has "
                    f"{len(manifest.classes)}; give a prior that was trained on it"
                )
            coded = by_prior.encode(table.tokens, table.labels, header.coding)
        else:
            coded = encode_tokens(header, tokens)
        payloads.append(seal(tokens, coded))
        labels += table.labels.tolist()
        keys += table.keys
        for name, values in columns.items():
            values += map(_to_plain, table.columns[name])
        if progress is not None:
            progress(len(keys), rows)
    fields = {name: value for name, value in asdict(manifest).items() if name != "shards"}
    about = {"manifest": fields, "split": split, "labels": labels, "keys": keys}
    if columns:
        about["columns"] = columns
    data = pack_stream(replace(header, about=zlib.compress(to_json(about).encode(), 9)), payloads)
    write_atomic(Path(path), lambda temporary: temporary.write_bytes(data))
    return len(data)


@final
@dataclass(frozen=True)
class CodedTokens:
    """An opened file of :func:`code_split`.

    Attributes:
        stream: The parsed file.
        prior: What coded it, where a prior did.
    """

    stream: Bitstream
    prior: Prior | None = None

    @classmethod
    def open(cls, path: str | Path, *, prior: Prior | None = None) -> Self:
        """Open a coded split; no token is decoded yet.

        Args:
            path: The file.
            prior: That which coded it, where one did.

        Raises:
            GridcodeError: It cannot be read, is damaged, or was coded by another prior.
        """
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise MissingFileError(f"there is no file {path}") from None
        except OSError as error:
            raise FileError(f"{path} cannot be read ({error.strerror or error}); check it") from None
        found = cls(parse_stream(data, str(path)), prior)
        header = found.stream.header
        header.check_tokens(MAX_TOKENS, str(path))
        if header.coding is not None and (found._coder is None or found._coder.hash != header.coding.prior):
            given = "none is given" if found._coder is None else f"the one given is {found._coder.hash}"
            raise GridcodeError(f"{path} was coded by prior {header.coding.prior}, and {given}; give that prior")
        if header.coding is not None and found._coder is not None:
            found._coder.check(header.coding, header.block, str(path))
        labels, keys = found.about["labels"], found.about["keys"]
        fits = len(labels) == len(keys) == header.examples
        fits = fits and all(len(values) == header.examples for values in found.about["columns"].values())
        if prior is not None and header.coding is not None:
            fits = fits and prior.space.grid == header.grid and _has_classes(prior, labels)
        if not fits:
            raise GridcodeError(f"{path}: its parts do not fit each other; it is damaged")
        return found

    @cached_property
    def about(self) -> dict[str, Any]:
        """The store's manifest, the split's name, and every example's label, key and value of each further column.

        Raises:
            GridcodeError: There are none, as of a compressed image.
        """
        try:
            unpacking = zlib.decompressobj()
            found = from_json(unpacking.decompress(self.stream.header.about, _LARGEST_ABOUT))
            about = {name: found[name] for name in ("manifest", "split", "labels", "keys")}
            kinds = about["manifest"].get("columns", {})
            about["columns"] = {
                name: tuple(_from_plain(value, kind) for value in found["columns"][name])
                for name, kind in kinds.items()
            }
            classes = len(about["manifest"]["classes"])
            if not all(type(label) is int and -1 <= label < classes for label in about["labels"]):
                raise ValueError("a label is of no class")
            if not all(isinstance(name, str) for name in (about["split"], *about["keys"])):
                raise ValueError("a split or a key is no text")
            return about
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise GridcodeError(f"{self.stream.name} is not a coded token store ({error}); give one") from None

    @cached_property
    def _coder(self) -> PriorCoder | None:
        return None if self.prior is None else PriorCoder(self.prior)

    def __len__(self) -> int:
        """Examples."""
        return self.stream.header.examples

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.stream.header.blocks

    def block(self, number: int) -> TokenTable:
        """A block's examples; nothing else is decoded.

        Raises:
            GridcodeError: There is no such block, it is damaged, or it does not decode to the tokens that were coded.
        """
        header, payload = self.stream.header, self.stream.payload(number)
        rows = header.examples_of(number)
        labels = torch.tensor(self.about["labels"][rows.start : rows.stop], dtype=torch.int64)
        if header.coding is not None and self._coder is not None:
            tokens = self._coder.decode(coded_part(payload), labels, header.coding)
        else:
            flat = decode_tokens(header, coded_part(payload), len(rows) * header.tokens)
            tokens = torch.from_numpy(flat.reshape(len(rows), header.tokens))
        check_seal(payload, tokens.numpy(), f"block {number} of {self.stream.name}")
        columns = {name: values[rows.start : rows.stop] for name, values in self.about["columns"].items()}
        return TokenTable(tokens, labels, tuple(self.about["keys"][rows.start : rows.stop]), columns)

    def __iter__(self) -> Iterator[TokenTable]:
        """Every block."""
        return (self.block(number) for number in range(self.blocks))

    def load(self) -> TokenTable:
        """All examples in memory."""
        parts = list(self)
        return TokenTable(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.labels for part in parts]),
            tuple(self.about["keys"]),
            dict(self.about["columns"]),
        )


def _has_classes(prior: Prior, labels: Sequence[int]) -> bool:
    """Whether a prior learned the classes of these labels."""
    return max(labels, default=-1) < len(prior.space.classes)


def _to_plain(value: Any) -> Any:
    """A value of a column as JSON keeps it: a float by its bits, for it may be infinite or no number."""
    return value.hex() if isinstance(value, float) else value


def _from_plain(value: Any, kind: str) -> Any:
    """A value of a column of this kind ('string', 'int64', 'float64'), from JSON.

    Raises:
        ValueError: It is of another kind.
    """
    if value is None:
        return None
    if kind == "float64":
        return float.fromhex(value)
    if type(value) is not {"string": str, "int64": int}.get(kind):
        raise ValueError(f"a value of a column is no {kind}")
    return value


def decode_store(
    files: Sequence[str | Path],
    folder: str | Path,
    *,
    prior: Prior | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> TokenStore:
    """Write a token store again from the coded files of its splits.

    Args:
        files: One for each split.
        folder: A new or empty folder.
        prior: That which coded them, where one did.
        overwrite: Remove an old token store in the folder first.
        progress: Called with (split, examples done, examples in all).

    Raises:
        GridcodeError: A file is damaged or was coded by another prior, two are of one split or of different stores, or
            the folder is occupied.
    """
    coded = [CodedTokens.open(path, prior=prior) for path in files]
    splits = [found.about["split"] for found in coded]
    if not coded or len(set(splits)) < len(splits):
        raise GridcodeError(f"a token store is decoded from one file for each split, not from {splits}")
    first = coded[0].about["manifest"]
    for found in coded:
        for _ in found.stream.payloads():
            pass  # each is checked, before anything is written
        if found.about["manifest"] != first:
            raise GridcodeError(f"{found.stream.name} and {coded[0].stream.name} are of two token stores; give one's")
    names = ("quantizer", "codebook_size", "grid", "tokenizer", "data", "classes", "columns", "axes")
    try:
        writer = StoreWriter(folder, **{name: first[name] for name in names if name in first}, overwrite=overwrite)
    except (TypeError, AttributeError, ValueError) as error:
        raise GridcodeError(
            f"{coded[0].stream.name}: its token store is not described ({error}); it is damaged"
        ) from None
    with writer:
        for split, found in zip(splits, coded, strict=True):
            done = 0
            for table in found:
                grids = table.tokens.view(-1, *found.stream.header.grid)
                writer.write(split, grids, table.labels, table.keys, table.columns)
                done += len(table.keys)
                if progress is not None:
                    progress(split, done, len(found))
    return TokenStore.open(folder)
