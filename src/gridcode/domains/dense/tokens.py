"""Label maps to a token store: what Stage II of dense prediction learns to write.

The store's rows carry the keys of the pictures, by which Stage II finds the pictures again. Where Stage I mirrors
training pictures, mirrored ones are stored too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.source import DenseSource
from gridcode.domains.dense.domain import dense_domain
from gridcode.store.manifest import MANIFEST
from gridcode.store.reader import TokenStore
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer

BATCH = 64
"""Label maps that are encoded at a time."""


def tokenize_labels(
    tokenizer: Tokenizer,
    splits: Mapping[str, DenseSource],
    data: DenseConfig,
    out: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TokenStore:
    """Encode every label map of every split, in order; see :func:`gridcode.tasks.tokenize.tokenize`.

    Args:
        tokenizer: In evaluation mode.
        splits: Pictures with label maps, by split name.
        data: How they are read; its crop says whether training maps are mirrored, too.
        out: The store's folder.
        force: Replace a store that is there.
        progress: Called with (maps done, maps in all).
    """
    options = StoreOptions(out, batch_size=BATCH, flips=data.crop.flip, force=force)
    return tokenize(tokenizer, splits, data, options, progress=progress)


def finished_tokens(
    tokenizer: Tokenizer, splits: Mapping[str, DenseSource], data: DenseConfig, out: Path
) -> TokenStore | None:
    """The store in a folder, where it is whole and :func:`tokenize_labels` would write it again; else None.

    Raises:
        GridcodeError: It is damaged.
    """
    if not (out / MANIFEST).is_file():
        return None
    store = TokenStore.open(out)
    wanted = dense_domain(tokenizer).store_record(data, splits, flips=data.crop.flip, precision="fp32")
    same = store.manifest.tokenizer == tokenizer.weights_hash() and store.manifest.data == wanted
    return store if same else None
