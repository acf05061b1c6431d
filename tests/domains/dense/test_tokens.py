"""Label maps to a token store: every one, mirrored ones too, and no second time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gridcode.data.config import CropPolicy
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.data.loader import dense_eval_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.domain import DenseDomain, dense_domain
from gridcode.domains.dense.recipes import DenseRun
from gridcode.domains.dense.train import finished_tokens, tokenize_labels
from gridcode.tokenizer.model import Tokenizer


def test_rows_are_the_codes_of_label_maps_and_of_mirrored_ones(
    tiny: Callable[[Task], DenseRun], tmp_path: Path
) -> None:
    run = tiny("panoptic")
    data = replace(run.data, train_count=5, val_count=3, crop=CropPolicy(train="random", flip=True))
    splits = {"train": open_dense(data, "train"), "val": open_dense(data, "val")}
    torch.manual_seed(0)
    tokenizer = Tokenizer(run.tokenizer.model, DenseDomain(data, splits["train"].categories)).eval()
    seen: list[tuple[int, int]] = []
    store = tokenize_labels(tokenizer, splits, data, tmp_path / "tokens", progress=lambda *line: seen.append(line))
    assert seen == [(5, 8), (8, 8)]
    assert (store.rows("train"), store.rows("val")) == (10, 3)
    rows = store.load("train")
    by_key = dict(zip(rows.keys, rows.tokens, strict=True))
    (batch,) = dense_eval_batches(splits["train"], data, batch_size=5)
    own = tokenizer.encode(batch.labels, batch.images)
    turned = np.stack([dense_domain(tokenizer).label_map.encode(planes[..., ::-1]) for planes in batch.planes.numpy()])
    mirrored = tokenizer.encode(torch.from_numpy(turned), batch.images.flip(-1))
    for place, key in enumerate(batch.keys):
        assert torch.equal(by_key[key], own[place].flatten())
        assert torch.equal(by_key[f"{key}#flip"], mirrored[place].flatten())


def test_a_finished_store_is_known_by_weights_and_data(
    tiny: Callable[[Task], DenseRun], trained: Callable[[Task], Path]
) -> None:
    folder, data = trained("depth"), tiny("depth").data
    tokenizer = Tokenizer.from_pretrained(folder / "tokenizer")
    splits = {"train": open_dense(data, "train"), "val": open_dense(data, "val")}
    assert finished_tokens(tokenizer, splits, data, folder / "tokens") is not None
    assert finished_tokens(tokenizer, splits, replace(data, workers=3), folder / "tokens") is not None
    assert finished_tokens(tokenizer, splits, replace(data, val_fraction=0.2), folder / "tokens") is None
    assert finished_tokens(tokenizer, splits, data, folder / "nothing") is None
    with torch.no_grad():
        next(tokenizer.parameters()).add_(1)
    assert finished_tokens(tokenizer, splits, data, folder / "tokens") is None
