"""Images to tokens on disk: every image once, in order, under its own key."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.data.source import Example, ImageSource
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.domain import data_of
from gridcode.domains.image.show import as_batch, reconstruct
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.model import Tokenizer

DATA = DataConfig(size=16, train_count=11, val_count=5, crop=CropPolicy(train="random", flip=True))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    torch.manual_seed(0)
    return Tokenizer(
        TokenizerConfig(quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    ).eval()


@pytest.fixture(scope="module")
def splits() -> dict[str, ImageSource]:
    return {"train": open_split(DATA, "train"), "val": open_split(DATA, "val")}


def test_every_image_is_stored_once_in_order(
    tmp_path: Path, tokenizer: Tokenizer, splits: dict[str, ImageSource]
) -> None:
    seen: list[tuple[int, int]] = []
    options = StoreOptions(tmp_path / "tokens", batch_size=4)
    store = tokenize(tokenizer, splits, DATA, options, progress=lambda *line: seen.append(line))
    assert seen == [(4, 16), (8, 16), (11, 16), (15, 16), (16, 16)]
    for split, source in splits.items():
        rows = store.load(split)
        assert rows.keys == tuple(example.key for example in source)
        assert rows.labels.tolist() == [example.label for example in source]
        batches = eval_batches(source, DATA, batch_size=4)  # as above: other shapes may be rounded otherwise
        assert torch.equal(rows.tokens.view(-1, 8, 8), torch.cat([tokenizer.encode(batch.images) for batch in batches]))


def test_flips_are_the_mirrored_images_under_their_own_keys(
    tmp_path: Path, tokenizer: Tokenizer, splits: dict[str, ImageSource]
) -> None:
    store = tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens", batch_size=4, flips=True))
    assert (store.rows("train"), store.rows("val")) == (22, 5)
    rows = store.load("train")
    by_key = dict(zip(rows.keys, rows.tokens, strict=True))
    assert len(by_key) == 22
    for batch in eval_batches(splits["train"], DATA, batch_size=11):
        mirrored = tokenizer.encode(batch.images.flip(-1)).flatten(1)
        for key, tokens in zip(batch.keys, mirrored, strict=True):
            assert torch.equal(by_key[f"{key}#flip"], tokens)


def test_the_manifest_says_what_the_tokens_depend_on(
    tmp_path: Path, tokenizer: Tokenizer, splits: dict[str, ImageSource]
) -> None:
    manifest = tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens")).manifest
    assert manifest.tokenizer == tokenizer.weights_hash()
    assert manifest.grid == (8, 8)
    assert manifest.quantizer == tokenizer.quantizer.spec()
    assert manifest.classes == splits["train"].classes
    assert (manifest.data["dataset"], manifest.data["size"]) == ("scenes", 16)
    assert manifest.data["crop"] == "random-0.8-flip/center"
    assert manifest.data["precision"] == "fp32"


def test_bfloat16_tokens_are_those_of_an_encoder_under_autocast(
    tmp_path: Path, tokenizer: Tokenizer, splits: dict[str, ImageSource]
) -> None:
    store = tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens", precision="bf16"))
    assert store.manifest.data["precision"] == "bf16"
    batch = next(eval_batches(splits["val"], DATA, batch_size=5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(store.load("val").tokens, tokenizer.encode(batch.images).flatten(1))


def test_an_earlier_store_is_replaced_only_on_demand(
    tmp_path: Path, tokenizer: Tokenizer, splits: dict[str, ImageSource]
) -> None:
    tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens"))
    with pytest.raises(GridcodeError, match="already holds one"):
        tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens"))
    store = tokenize(tokenizer, splits, DATA, StoreOptions(tmp_path / "tokens", force=True, flips=True))
    assert store.rows("train") == 22


def test_a_tokenizer_knows_the_data_it_was_trained_on(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(GridcodeError, match="does not say what images it was trained on"):
        data_of(tokenizer)
    tokenizer.info = {"data": asdict(DATA), "dataset": "scenes"}
    tokenizer.save_pretrained(tmp_path)
    assert data_of(Tokenizer.from_pretrained(tmp_path)) == DATA


class TestReconstruct:
    def test_it_is_decode_after_encode(self, tokenizer: Tokenizer) -> None:
        images = torch.rand(2, 3, 8, 12) * 2 - 1
        assert torch.equal(reconstruct(tokenizer, images), tokenizer.decode(tokenizer.encode(images)))

    def test_an_image_becomes_a_batch_exactly(self, tokenizer: Tokenizer, splits: dict[str, ImageSource]) -> None:
        example = splits["val"][0]
        batch = next(eval_batches(splits["val"], DATA, batch_size=1))
        assert torch.equal(as_batch(example, tokenizer, size=16), batch.images)

    @pytest.mark.parametrize(("height", "width"), [(15, 13), (14, 12), (1, 1), (1, 16), (3, 2)])
    def test_an_image_of_any_size_comes_back_in_it(
        self, tokenizer: Tokenizer, splits: dict[str, ImageSource], height: int, width: int
    ) -> None:
        own = Example(image=splits["val"][0].image[:height, :width], label=None, key="own")
        image = as_batch(own, tokenizer, size=None)
        back = reconstruct(tokenizer, image)
        assert back.shape == image.shape == (1, 3, height, width)
        more = ((0, 0), (0, 0), (0, -height % 2), (0, -width % 2 + 2 * (height == width == 1)))
        padded = torch.from_numpy(np.pad(image.numpy(), more, "edge"))
        assert torch.equal(back, tokenizer.decode(tokenizer.encode(padded))[..., :height, :width])
