"""Every kind of prior from the command line: trained on a small store, described, sampled, and edited with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.cli.main import main
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.quantize.config import FSQConfig, VQConfig
from gridcode.tokenizer.model import Tokenizer

DATA = DataConfig(size=16, train_count=10, val_count=5, crop=CropPolicy(train="center", flip=False), workers=0)
KINDS = {
    "modern": "--model.style modern",
    "independent": "--model.head independent",
    "chain": "--model.style modern --model.head chain",
    "ar": "--prior ar --model.head chain",
}


def words(text: str) -> list[str]:
    return text.split()


SMALL = words(
    "--model.width 16 --model.depth 1 --model.heads 2 --model.mlp 32 --loop.steps 3 --loop.batch-size 4 "
    "--loop.val-every 3 --loop.accelerator cpu --loop.precision fp32"
)


def make_store(folder: Path, quantizer: FSQConfig | VQConfig) -> tuple[str, str]:
    """An untrained tokenizer and its tokens of built-in scenes."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(
        TokenizerConfig(quantizer=quantizer, widths=(8, 8), encoder_blocks=1, decoder_blocks=1, patch=2)
    )
    tokenizer.info = {"data": asdict(DATA), "dataset": "scenes"}
    tokenizer.save_pretrained(folder / "tokenizer")
    paths = str(folder / "tokenizer"), str(folder / "tokens")
    assert main(["tokenize", "--tokenizer", paths[0], "--out", paths[1]]) == 0
    return paths


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_store(tmp_path_factory.mktemp("fsq"), FSQConfig(levels=(4, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_of_each_kind_trains_samples_and_edits(
    kind: str, store: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer, tokens = store
    prior, picture = str(tmp_path / "prior"), tmp_path / "picture.png"
    train = ["train", "prior", "scenes_smoke", *words(KINDS[kind]), *SMALL, "--tokens", tokens, "--out", prior]
    assert main([*train, "--dry-run"]) == 0
    assert "16 tokens of 12 codes" in capsys.readouterr().out
    assert main(train) == 0
    assert main(["info", prior]) == 0
    assert f'prior: "{"ar" if kind == "ar" else "maskgit"}"' in capsys.readouterr().out

    both = ["--prior", prior, "--tokenizer", tokenizer, "--steps", "2", "--top-k", "3", "--top-p", "0.9", "--out"]
    assert main(["sample", *both, str(tmp_path / "samples"), "--count", "1", "--guidance", "0.5"]) == 0
    before = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(before).save(picture)
    edit = ["edit", *both, str(tmp_path / "edits"), "--input", str(picture), "--count", "1"]
    assert main([*edit, "--box", "4", "4", "8", "8"]) == 0
    after = np.asarray(Image.open(tmp_path / "edits" / "0000.png"))
    assert np.array_equal(after[12:], before[12:])
    assert not np.array_equal(after[4:8, 4:8], before[4:8, 4:8])


def test_digits_of_a_book_without_any_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, tokens = make_store(tmp_path, VQConfig(preset="plain", size=12, channels=4))
    out = ["--tokens", tokens, "--out", str(tmp_path / "prior")]
    capsys.readouterr()  # what making the store told
    assert main(["train", "prior", "scenes_smoke", *SMALL, "--model.head", "chain", *out]) == 2
    error = capsys.readouterr().err
    assert "the chain head predicts digits, and this codebook of 12 codes has none" in error
    assert error.count("\n") == 1


def test_a_masked_priors_settings_are_not_an_autoregressive_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "prior", "scenes_smoke", "--prior", "ar", "--model.style", "modern", "--dry-run"]) == 2
    assert "--model.style" in capsys.readouterr().err


def test_a_recipe_of_either_prior_trains_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("scenes_demo", "scenes_smoke"):
        for prior in ("maskgit", "ar"):
            assert main(["train", "prior", name, "--prior", prior, "--dry-run"]) == 0
            assert ('"style":' in capsys.readouterr().out) == (prior == "maskgit"), (name, prior)
