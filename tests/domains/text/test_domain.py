"""Texts through every verb at smoke size, and what tokenizers of texts refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gridcode.cli.main import main
from gridcode.domains.text.config import TextConfig, TextTokenizerConfig, TextTokenizerRun
from gridcode.domains.text.data import Stretch, TextSource
from gridcode.domains.text.domain import data_of
from gridcode.domains.text.files import reconstruct_text
from gridcode.domains.text.recipes import TEXT_RECIPES
from gridcode.errors import GridcodeError
from gridcode.prior.config import AutoregressiveConfig, TokenSpace
from gridcode.prior.make import make_prior
from gridcode.quantize.config import FSQConfig
from gridcode.studies.study import Cell
from gridcode.studies.text.config import TextStudyConfig
from gridcode.studies.text.study import TextStudy, bits_of_bytes
from gridcode.tokenizer.model import Tokenizer

GUIDE = Path(__file__).parents[3] / "docs/guides/text.md"
SHORT = ["--loop.steps", "2", "--loop.log-every", "1", "--loop.val-every", "2", "--loop.checkpoint-every", "2"]
BEHIND = {"train": SHORT, "sample": ["--steps", "2", "--count", "2"]}
"""What the guide's commands are given in addition, so that they take no time."""
WORDS = b"To be, or not to be, that is the question:\nWhether 'tis nobler \xff in the mind to suffer\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's first commands on a short text, with the smoke recipe, and a masked prior beside."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "play.txt").write_bytes(WORDS * 40)
    block = GUIDE.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
    assert block.count("\n") == 6
    for line in block.replace("DATA/tinyshakespeare.txt", str(folder / "play.txt")).splitlines():
        words = line.replace("_laptop", "_smoke").replace("runs/plays", str(folder)).split()[1:]
        assert main([*words, *BEHIND.get(words[0], [])]) == 0, line
    words = ["--tokens", str(folder / "tokens"), "--prior", "maskgit", "--out", str(folder / "maskgit"), *SHORT]
    assert main(["train", "prior", "tinyshakespeare_smoke", *words]) == 0
    return folder


def test_a_run_leaves_a_model_its_card_images_and_tokens(runs: Path) -> None:
    assert "| bit rate | 6.05 bits per character, at most |" in (runs / "tokenizer/best/README.md").read_text()
    assert (runs / "tokenizer/images/step-00000002.png").is_file()
    assert data_of(Tokenizer.from_pretrained(runs / "tokenizer")).window == 32
    manifest = json.loads((runs / "tokens/manifest.json").read_text())
    assert (manifest["grid"], manifest["classes"], manifest["data"]["window"]) == ([1, 16], [], 32)


def test_sample_writes_texts(runs: Path) -> None:
    models = ["--prior", str(runs / "maskgit"), "--tokenizer", str(runs / "tokenizer")]
    assert main(["sample", *models, "--out", str(runs / "masked"), "--count", "2", "--steps", "2"]) == 0
    for out in (runs / "samples", runs / "masked"):
        assert sorted(path.name for path in out.iterdir()) == ["0000-any.txt", "0001-any.txt", "samples.txt"]
        assert (out / "samples.txt").read_text().count("\n") == 2


def test_reconstruct_keeps_each_length_and_skips_what_is_empty(runs: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_bytes(WORDS)
    (tmp_path / "in/b.txt").write_bytes(b"")
    words = ["reconstruct", "--tokenizer", str(runs / "tokenizer"), "--input", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "stop")]) == 2
    err = capsys.readouterr().err
    assert "b.txt: empty" in err
    assert err.count("\n") == 1
    assert main([*words, "--out", str(tmp_path / "skip"), "--data.on-error", "skip"]) == 0
    assert {path.name for path in (tmp_path / "skip").iterdir()} == {"0000-a.txt", "comparison.html"}
    assert len((tmp_path / "skip/0000-a.txt").read_bytes()) == len(WORDS)
    assert "<mark>" in (tmp_path / "skip/comparison.html").read_text()


def test_eval_writes_figures_and_texts_side_by_side(runs: Path) -> None:
    figures = json.loads((runs / "report/report.json").read_text())["figures"]
    path = figures["bits_per_token"] * 16 * figures["windows"]
    size = 5 * 32 - (-len(WORDS * 40) % 32)  # the last of the 5 windows held out ends with the text
    assert figures["windows"] == 5
    assert figures["bits_per_character"] == pytest.approx(path / size + figures["decoder_bits_per_character"])
    page = (runs / "report/report.html").read_text()
    assert "<th>reconstruction</th>" in page
    assert "to be" in page


def test_folders_of_another_kind_are_refused_in_one_line(runs: Path, tmp_path: Path, capsys) -> None:
    tokenizer, tokens = str(runs / "tokenizer"), str(runs / "tokens")
    for words, said in (
        (["train", "prior", "scenes_smoke", "--tokens", tokens],
         "holds tokens of texts, and scenes_smoke is a recipe of images; give one of tinyshakespeare_laptop"),
        (["train", "tokenizer", "tinyshakespeare_smoke", "--data.source", "/none"], "/none: no such file or folder"),
        (["sample", "fsdd_smoke", "--prior", str(runs / "prior"), "--tokenizer", tokenizer],
         "is a tokenizer of texts, not a tokenizer of sounds"),
        (["eval", "fsdd_smoke", "--tokenizer", tokenizer], "is a tokenizer of texts, not a tokenizer of sounds"),
    ):  # fmt: skip
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_the_study_ends_with_a_table_of_every_way(runs: Path, tmp_path: Path) -> None:
    config = TextStudyConfig(data=TextConfig(source=str(runs / "play.txt"), window=32), bits=(8, 10), size="smoke")
    study, results = TextStudy(config), {}
    for cell in study.cells():
        if cell.setting != "fsq-1024" and cell.seed == 0:
            results[cell] = study.run_cell(cell, tmp_path) | {"seconds": 1.0}
    assert [cell.setting for cell in results] == ["compressors", "bytes", "fsq-256"]
    found = results[Cell("fsq-256", 0)]
    assert found["bits_per_character"] == pytest.approx(
        found["token_bits_per_character"] + found["decoder_bits_per_character"]
    )
    text = study.summary(results).markdown()
    ways = (
        "tokens of 2^8 codes | 1 |",
        "bytes, autoregressive transformer | 1 |",
        "gzip |  |",
        "xz after training text",
    )
    for row in (*ways, "zstd |"):
        assert f"| {row}" in text
    assert "costs fewer bits through tokens" in text


def test_answers_of_a_study_under_way_rest_on_what_has_as_many_seeds_as_any() -> None:
    results = {
        Cell(f"fsq-{2**bits}", seed): {"whole_windows": whole + seed / 100, "bits_per_character": path + seed / 10}
        for bits, whole, path, seeds in ((8, 0.1, 4.0, 2), (10, 0.3, 3.0, 1), (12, 0.5, 5.0, 2))
        for seed in range(seeds)
    } | {Cell("bytes", seed): {"bits_per_character": 3.5 + seed / 10} for seed in range(2)}
    text = TextStudy(TextStudyConfig(bits=(8, 10, 12))).summary(results).markdown()
    assert "From 10.5 % at 2^8 codes to 50.5 % at 2^12: +40.0 points" in text
    assert "The best codebook, 2^8, takes 4.050 bits per character, bytes 3.550: +0.500 bits" in text
    assert "fewer seeds than others: 2^10 codes." in text
    assert "| tokens of 2^10 codes | 1 | 3.000 |" in text
    del results[Cell("fsq-1024", 0)]
    assert "fewer seeds" not in TextStudy(TextStudyConfig(bits=(8, 10, 12))).summary(results).markdown()


def test_zeros_that_fill_up_a_window_cost_no_bits() -> None:
    space = TokenSpace(256, (1, 4), classes=(), tokenizer="bytes", data={})
    torch.manual_seed(0)
    prior = make_prior(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    found = bits_of_bytes(prior, TextSource("a", [Stretch("a", 0, np.frombuffer(b"abcdef", np.uint8))], 4))
    with torch.no_grad():  # what stands behind the text's end is not seen before it
        rows = prior.log_probs(torch.tensor([[*b"abcd"], [*b"efxy"]]), torch.tensor([-1, -1]), steps=1)
    assert found == pytest.approx(-float(rows.flatten()[:6].sum()) / math.log(2) / 6, rel=1e-6)


@pytest.mark.parametrize("name", TEXT_RECIPES)
def test_recipes_are_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", name, "--dry-run"]) == 0
    assert "bits per character, at most" in capsys.readouterr().out
    assert main(["train", "prior", name, "--dry-run"]) == 0
    assert "tokens of 4,375 codes" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "said"), [
    (torch.zeros(64, dtype=torch.uint8), r"takes bytes \(B, T\) as integers, got torch.uint8 of shape \(64,\)"),
    (torch.zeros(1, 64), "got torch.float32"),
    (torch.zeros(1, 63, dtype=torch.uint8), "multiple of 2 bytes, got 63"),
    (torch.full((1, 64), 256), r"must be in \[0, 256\), got 256 to 256"),
    (torch.full((1, 64), -1), r"must be in \[0, 256\), got -1 to -1"),
])  # fmt: skip
def test_what_is_no_bytes_is_refused(text: torch.Tensor, said: str) -> None:
    tokenizer = Tokenizer(TextTokenizerConfig(width=16, head=4, quantizer=FSQConfig(levels=(5, 5))))
    with pytest.raises(GridcodeError, match=said):
        tokenizer.encode(text)


def test_texts_of_any_length_pass_through_the_networks() -> None:
    tokenizer = Tokenizer(TextTokenizerConfig(width=16, head=4, quantizer=FSQConfig(levels=(5, 5))))
    content = torch.arange(150, dtype=torch.uint8).numpy()
    assert reconstruct_text(tokenizer.eval(), content, window=64, batch_size=2).shape == (150,)


@pytest.mark.parametrize("make", [
    lambda: TextConfig(source=""), lambda: TextConfig(on_error="x"), lambda: TextConfig(val_fraction=1.0),
    lambda: TextConfig(window=0), lambda: TextTokenizerConfig(stride=3), lambda: TextTokenizerConfig(kernel=4),
    lambda: TextTokenizerConfig(head=0),
    lambda: TextTokenizerRun(data=TextConfig(window=65)), lambda: TextTokenizerRun(quantizer_dropout=2.0),
    lambda: TextStudyConfig(seeds=0), lambda: TextStudyConfig(bits=(13,)), lambda: TextStudyConfig(bits=(8, 8)),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(make) -> None:
    with pytest.raises(GridcodeError, match=r"must|need|is empty|takes|has none"):
        make()
