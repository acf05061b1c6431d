"""Folders that version 0.1.0 wrote open as they did: ``old_folders/`` holds one of each kind, of tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.domains.dense.domain import dense_domain
from gridcode.domains.dense.predictor import DensePredictor
from gridcode.errors import GridcodeError
from gridcode.prior.make import load_prior
from gridcode.store.reader import TokenStore
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer

OLD = Path(__file__).parent / "old_folders"
EXPECTED = json.loads((OLD / "expected.json").read_text())
IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


def test_a_tokenizer_of_images_gives_the_same_tokens() -> None:
    tokenizer = Tokenizer.from_pretrained(OLD / "tokenizer")
    assert tokenizer.domain.name == "image"
    assert tokenizer.weights_hash() == EXPECTED["hashes"]["tokenizer"]
    assert tokenizer.encode(IMAGES).tolist() == EXPECTED["tokens"]


def test_a_tokenizer_of_label_maps_gives_the_same_tokens() -> None:
    tokenizer = Tokenizer.from_pretrained(OLD / "label-tokenizer")
    assert dense_domain(tokenizer).data.task == "depth"
    assert tokenizer.weights_hash() == EXPECTED["hashes"]["label-tokenizer"]
    labels = torch.arange(2 * 64).view(2, 1, 8, 8) % 256
    assert tokenizer.encode(labels, IMAGES).tolist() == EXPECTED["label tokens"]


@pytest.mark.parametrize("prior", ["prior", "ar"])
def test_a_prior_fills_grids_for_its_tokenizer(prior: str) -> None:
    assert Generator.from_pretrained(OLD / prior, OLD / "tokenizer").sample([0, 1, -1], steps=2).shape == (3, 3, 8, 8)


def test_a_token_store_opens() -> None:
    store = TokenStore.open(OLD / "tokens", tokenizer=EXPECTED["hashes"]["tokenizer"])
    assert {split: store.rows(split) for split in store.splits} == {"train": 4, "val": 2}
    assert store.load("train").tokens.shape == (4, 4)


@pytest.mark.parametrize("name", ["tokenizer", "label-tokenizer"])
def test_what_is_saved_again_opens_again(name: str, tmp_path: Path) -> None:
    Tokenizer.from_pretrained(OLD / name).save_pretrained(tmp_path / "model")
    assert Tokenizer.from_pretrained(tmp_path / "model").weights_hash() == EXPECTED["hashes"][name]


def test_a_prior_of_label_maps_gives_the_same_codes_and_is_saved_as_one_of_todays(tmp_path: Path) -> None:
    prior = load_prior(OLD / "conditional-prior")
    assert prior.predict(IMAGES).tolist() == EXPECTED["codes of images"]
    prior.save_pretrained(tmp_path / "prior")
    assert json.loads((tmp_path / "prior" / "config.json").read_text())["kind"] == "prior"
    assert load_prior(tmp_path / "prior").predict(IMAGES).tolist() == EXPECTED["codes of images"]


def test_a_prior_of_a_later_version_is_one_line(tmp_path: Path) -> None:
    prior = load_prior(OLD / "prior")
    prior.save_pretrained(tmp_path / "prior")
    config = tmp_path / "prior" / "config.json"
    config.write_text(config.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(GridcodeError, match="has version 3 of a prior; upgrade gridcode"):
        load_prior(tmp_path / "prior")


def test_a_prior_of_label_maps_predicts_for_its_tokenizer() -> None:
    predictor = DensePredictor.from_pretrained(OLD / "conditional-prior", OLD / "label-tokenizer")
    [depth] = predictor.predict_images([np.zeros((8, 8, 3), np.uint8)])
    assert depth.planes.shape == (1, 8, 8)
