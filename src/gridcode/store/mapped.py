"""A split of a token store for training: its tokens in a mapped file, of which memory holds what is in use.

Parquet is read by groups of thousands of rows, and training asks for rows from everywhere. So the tokens are unpacked
once, into a temporary file of 2 bytes per token for books of up to 2^15 codes (else 4 or 8). The system keeps its pages
while there is room, and takes them back where there is none. Labels are in memory, keys are not.
"""

from __future__ import annotations

import mmap
import tempfile

import numpy as np
import torch

from gridcode.errors import FileError
from gridcode.store.reader import TokenStore, TokenTable


def map_tokens(store: TokenStore, split: str) -> TokenTable:
    """A split without its keys and columns, to be read row by row in any order.

    Args:
        store: The store.
        split: Its name.

    Returns:
        The table; its ``tokens`` are int16, int32 or int64, the smallest that holds every index, and are not to be
        changed.

    Raises:
        GridcodeError: There is no such split, a token lies outside [0, K), or the temporary folder has no room.

    >>> from pathlib import Path
    >>> from gridcode.store.writer import StoreWriter
    >>> folder = Path(tempfile.mkdtemp()) / "tokens"
    >>> with StoreWriter(folder, quantizer={}, codebook_size=40, grid=(2,), tokenizer="0123456789abcdef", data={},
    ...                  classes=()) as writer:
    ...     writer.write("train", torch.tensor([[0, 1], [2, 39]]), torch.tensor([-1, -1]), ["first", "second"])
    >>> map_tokens(TokenStore.open(folder), "train").tokens[torch.tensor([1])]
    tensor([[ 2, 39]], dtype=torch.int16)
    """
    rows, manifest = store.rows(split), store.manifest
    kind = next(kind for kind in (np.int16, np.int32, np.int64) if manifest.codebook_size <= np.iinfo(kind).max + 1)
    labels, done = torch.empty(rows, dtype=torch.int64), 0
    try:
        with tempfile.TemporaryFile(prefix="gridcode-") as file:
            for tokens, of_rows in store.arrays(split):
                file.write(tokens.astype(kind).tobytes())
                labels[done : done + len(of_rows)] = torch.from_numpy(of_rows)
                done += len(of_rows)
            file.flush()
            # A private mapping, which nothing writes to: it outlives the file's name and handle.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(
            f"{store.folder}: its tokens cannot be unpacked into {tempfile.gettempdir()} ({error}); free room there, "
            "or name another folder with TMPDIR"
        ) from None
    flat = torch.from_numpy(np.frombuffer(mapped, kind))
    return TokenTable(flat.view(rows, manifest.tokens_per_example), labels, ())
