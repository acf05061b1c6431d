"""Label maps to a token store: what Stage II of dense prediction learns to write.

The store's rows carry the keys of the pictures, by which Stage II finds the pictures again. Pictures and label maps
are centre-cropped, as in validation. Where Stage I mirrors training pictures, mirrored ones are stored too, under
their key with ``#flip``; segments are numbered anew in a mirrored map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.loader import DenseBatch, dense_eval_batches
from gridcode.domains.dense.data.source import DenseSource
from gridcode.domains.dense.domain import dense_domain
from gridcode.domains.dense.prior.join import FLIP
from gridcode.errors import GridcodeError
from gridcode.store.manifest import MANIFEST
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
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
    """Encode every label map of every split, in order.

    Args:
        tokenizer: In evaluation mode.
        splits: Pictures with label maps, by split name.
        data: How they are read; recorded in the manifest. Task, size and what labels mean are the tokenizer's.
        out: The store's folder.
        force: Replace a store that is there.
        progress: Called with (maps done, maps in all).

    Returns:
        The written store, opened.

    Raises:
        GridcodeError: A file cannot be read, the folder is occupied, or the labels would be others than those that the
            tokenizer learned.
    """
    _check_labels(dense_domain(tokenizer).data, data)
    device = next(tokenizer.parameters()).device
    done, total = 0, sum(len(source) for source in splits.values())
    with StoreWriter(
        out,
        quantizer=tokenizer.quantizer.spec(),
        codebook_size=tokenizer.codebook_size,
        grid=tokenizer.token_grid(),
        tokenizer=tokenizer.weights_hash(),
        data=_described(data, splits),
        classes=(),
        overwrite=force,
    ) as writer:
        for split, source in splits.items():
            for batch in dense_eval_batches(source, data, batch_size=BATCH):
                unlabelled = torch.full((len(batch.keys),), -1)
                indices = tokenizer.encode(batch.labels.to(device), batch.images.to(device))
                writer.write(split, indices.cpu(), unlabelled, batch.keys)
                if data.crop.flip and split == "train":
                    labels, images = _mirrored(tokenizer, batch)
                    indices = tokenizer.encode(labels.to(device), images.to(device))
                    writer.write(split, indices.cpu(), unlabelled, [f"{key}{FLIP}" for key in batch.keys])
                done += len(batch.keys)
                if progress is not None:
                    progress(done, total)
    return TokenStore.open(out, tokenizer=tokenizer.weights_hash())


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
    same = store.manifest.tokenizer == tokenizer.weights_hash() and store.manifest.data == _described(data, splits)
    return store if same else None


def _check_labels(learned: DenseConfig, read: DenseConfig) -> None:
    """Refuse labels of another meaning than the tokenizer learned; where they come from may differ."""
    depth = replace(read.depth, png_scale=learned.depth.png_scale)
    for name in ("task", "height", "width", "depth", "instances", "min_share"):
        then, now = getattr(learned, name), depth if name == "depth" else getattr(read, name)
        if then != now:
            raise GridcodeError(
                f"the label tokenizer was trained with data.{name}={then}, these label maps are read with {now}; give "
                "the same settings, or train the label tokenizer again"
            )


def _mirrored(tokenizer: Tokenizer, batch: DenseBatch) -> tuple[Tensor, Tensor]:
    """Labels and pictures with left and right exchanged."""
    flipped = batch.planes.flip(-1).numpy()
    labels = np.stack([dense_domain(tokenizer).label_map.encode(planes) for planes in flipped])
    return torch.from_numpy(labels), batch.images.flip(-1)


def _described(data: DenseConfig, splits: Mapping[str, DenseSource]) -> dict[str, Any]:
    """What the tokens depend on beside the tokenizer, as JSON gives it back."""
    settings: dict[str, Any] = asdict(replace(data, workers=0))
    del settings["max_pixels"]
    names = {split: f"{source.name}, {len(source)}" for split, source in splits.items()}
    return settings | {"dataset": next(iter(splits.values())).name, "crop": "center", "splits": names}
