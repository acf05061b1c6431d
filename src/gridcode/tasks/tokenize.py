"""Pictures to a token store: what Stage II learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gridcode.data.config import DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.source import ImageSource
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class StoreOptions:
    """How a store is written.

    Attributes:
        out: The store's folder.
        batch_size: Pictures at a time.
        flips: Also store every training picture mirrored, under its key with ``#flip``.
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
    splits: dict[str, ImageSource],
    data: DataConfig,
    options: StoreOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TokenStore:
    """Encode every picture of every split, centre-cropped, in order.

    Args:
        tokenizer: In evaluation mode.
        splits: The pictures, by split name.
        data: Size, channels and crop policy; recorded in the manifest.
        options: Where and how.
        progress: Called with (pictures done, pictures in all).

    Returns:
        The written store, opened.

    Raises:
        GridcodeError: A picture cannot be read, or the folder is occupied.
    """
    classes = next(iter(splits.values())).classes
    grid = tokenizer.token_grid(data.size, data.size)
    done, total = 0, sum(len(source) for source in splits.values())
    device = next(tokenizer.parameters()).device
    described = asdict(data) | {
        "dataset": data.dataset,
        "crop": data.crop.name,
        "flips": options.flips,
        "precision": options.precision,
    }

    def encode(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            return tokenizer.encode(images).cpu()

    with StoreWriter(
        options.out,
        quantizer=tokenizer.quantizer.spec(),
        codebook_size=tokenizer.codebook_size,
        grid=grid,
        tokenizer=tokenizer.weights_hash(),
        data=described,
        classes=classes,
        overwrite=options.force,
    ) as writer:
        for split, source in splits.items():
            for batch in eval_batches(source, data, batch_size=options.batch_size):
                images = batch.images.to(device)
                writer.write(split, encode(images), batch.labels, batch.keys)
                if options.flips and split == "train":
                    keys = tuple(f"{key}#flip" for key in batch.keys)
                    writer.write(split, encode(images.flip(-1)), batch.labels, keys)
                done += len(batch.keys)
                if progress is not None:
                    progress(done, total)
    return TokenStore.open(options.out, tokenizer=tokenizer.weights_hash())
