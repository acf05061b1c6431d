"""The verbs, one after another on the smallest models: each writes what it says, and only where it may."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from math import log2, prod
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.cli.main import main
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.file_names import printable
from gridcode.data.open import open_split
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.train import token_space
from gridcode.quantize.config import QUANTIZERS, FSQConfig, VQConfig
from gridcode.quantize.make import make_quantizer
from gridcode.store.reader import TokenStore
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer

DATA = DataConfig(size=16, train_count=10, val_count=5, crop=CropPolicy(train="center", flip=False), workers=0)


@dataclass(frozen=True)
class Models:
    """Untrained models on disk that belong together, and a tokenizer that belongs to none."""

    tokenizer: str
    tokens: str
    prior: str
    stranger: str


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    found = Models(*(str(folder / name) for name in ("tokenizer", "tokens", "prior", "stranger")))
    config = TokenizerConfig(
        quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1, patch=2
    )
    for seed, place in enumerate((found.tokenizer, found.stranger)):
        torch.manual_seed(seed)
        tokenizer = Tokenizer(config)
        tokenizer.info = {"data": asdict(DATA), "dataset": "scenes"}
        tokenizer.save_pretrained(place)
    assert main(["tokenize", "--tokenizer", found.tokenizer, "--out", found.tokens]) == 0
    space = token_space(TokenStore.open(found.tokens))
    MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).save_pretrained(found.prior)
    return found


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestTokenize:
    def test_it_writes_every_image_and_says_what_is_next(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "tokens"
        assert main(["tokenize", "--tokenizer", models.tokenizer, "--out", str(out), "--flips"]) == 0
        assert capsys.readouterr().out == (
            f"20 train, 5 val in {out}; next: gridcode train prior RECIPE --tokens {out} --out DIR\n"
        )
        store = TokenStore.open(out)
        keys = [example.key for example in open_split(DATA, "val")]
        assert list(store.load("val").keys) == keys

    def test_a_store_that_is_there_is_kept(self, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
        before = TokenStore.open(models.tokens).manifest
        assert main(["tokenize", "--tokenizer", models.tokenizer, "--out", models.tokens]) == 2
        assert "already holds one" in capsys.readouterr().err
        assert TokenStore.open(models.tokens).manifest == before


class TestEdit:
    def edit(self, models: Models, *words: str) -> int:
        return main(["edit", "--prior", models.prior, "--tokenizer", models.tokenizer, "--steps", "2", *words])

    def test_a_box_of_a_wide_image_is_drawn_again(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        photo, out = tmp_path / "photo.png", tmp_path / "edits"
        before = np.random.default_rng(0).integers(0, 256, (21, 39, 3), dtype=np.uint8)
        Image.fromarray(before).save(photo)
        words = ["--input", str(photo), "--out", str(out), "--count", "2", "--box", "10", "8", "20", "12"]
        assert self.edit(models, *words) == 0
        assert names(out) == ["0000.png", "0001.png", "edits.png"]
        assert "2 images of 39x21" in capsys.readouterr().out
        after, seam = pixels(out / "0001.png"), 4
        near = np.zeros((21, 39), dtype=bool)
        near[8 - seam : 12 + seam, 10 - seam : 20 + seam] = True
        assert np.array_equal(after[~near], before[~near])
        assert not np.array_equal(after[near], before[near])

    def test_a_mask_and_a_larger_canvas(self, models: Models, tmp_path: Path) -> None:
        photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(photo)
        Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(mask)
        common = ["--input", str(photo), "--count", "1", "--out"]
        assert self.edit(models, *common, str(tmp_path / "a"), "--mask", str(mask)) == 0
        assert self.edit(models, *common, str(tmp_path / "b"), "--outpaint", "4", "0", "0", "7") == 0
        assert pixels(tmp_path / "b" / "0000.png").shape == (23, 20, 3)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "give one of --box, --mask and --outpaint, got none"),
            (["--box", "0", "0", "4", "4", "--outpaint", "1", "1", "1", "1"], "got box and outpaint"),
            (["--box", "0", "0", "40", "4"], "the box 0,0,40,4 does not lie in the image"),
            (["--mask", "PHOTO2"], "has 9x9 pixels"),
            (["--box", "0", "0", "4", "4", "--class", "unicorn"], "there is no class 'unicorn'"),
            (["--box", "0", "0", "4", "4", "--input", "nowhere.png"], "nowhere.png"),
        ],
    )
    def test_mistakes_are_one_line(
        self,
        models: Models,
        tmp_path: Path,
        words: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, side in (("PHOTO", 16), ("PHOTO2", 9)):
            Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(tmp_path / f"{name}.png")
        words = [str(tmp_path / f"{word}.png") if word == "PHOTO2" else word for word in words]
        if "--input" not in words:
            words += ["--input", str(tmp_path / "PHOTO.png")]
        assert self.edit(models, *words, "--out", str(tmp_path / "out")) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()


class TestSample:
    def test_images_are_the_generators_own(self, models: Models, tmp_path: Path) -> None:
        out = tmp_path / "pictures"
        words = ["sample", "--prior", models.prior, "--tokenizer", models.tokenizer, "--out", str(out)]
        assert main([*words, "--classes", "cone", "1", "--count", "2", "--steps", "3", "--seed", "4"]) == 0
        classes = TokenStore.open(models.tokens).manifest.classes
        cone, one = classes.index("cone"), 1
        written = [f"{n:04d}-{classes[label]}.png" for n, label in enumerate((cone, cone, one, one))]
        assert names(out) == sorted([*written, "samples.png"])
        generator = Generator.from_pretrained(models.prior, models.tokenizer)
        expected = generator.sample([cone, cone, one, one], steps=3, seed=4)
        for name, image in zip(written, expected, strict=True):
            wanted = ((image.permute(1, 2, 0).numpy() + 1) * 127.5).round()
            np.testing.assert_array_equal(pixels(out / name), wanted)

    def test_a_folder_in_use_is_kept_unless_forced(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        words = ["sample", "--prior", models.prior, "--tokenizer", models.tokenizer, "--out", str(tmp_path)]
        assert main([*words, "--count", "1"]) == 2
        assert capsys.readouterr().err == (
            f"gridcode sample: {tmp_path} is not empty; give another --out, or --force to write into it\n"
        )
        assert names(tmp_path) == ["mine.txt"]
        assert main([*words, "--count", "1", "--steps", "1", "--force"]) == 0
        assert {"mine.txt", "samples.png"} <= set(names(tmp_path))

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--classes", "unicorn"], "there is no class 'unicorn'; the classes are "),
            (["--classes", "99"], "there is no class '99'"),
            (["--count", "0"], "--count must be at least 1, got 0"),
            (["--steps", "0"], "sampling takes at least 1 step"),
            (["--guidance", "-1"], "guidance must be >= 0"),
        ],
    )
    def test_what_cannot_be_drawn_is_one_line(
        self, models: Models, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = ["--prior", models.prior, "--tokenizer", models.tokenizer, "--out", str(tmp_path / "out")]
        assert main(["sample", *place, *words]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1

    def test_another_tokenizer_is_refused(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["sample", "--prior", models.prior, "--tokenizer", models.stranger, "--out", str(tmp_path / "out")]
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "this prior learned the tokens of tokenizer" in err
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_any_draws_without_a_class_and_first_goes_on(self, models: Models, tmp_path: Path) -> None:
        words = ["sample", "--prior", models.prior, "--tokenizer", models.tokenizer, "--steps", "2"]
        any_two = [*words, "--classes", "any", "--count", "2"]
        assert main([*any_two, "--out", str(tmp_path / "all")]) == 0
        written = sorted(path.name for path in (tmp_path / "all").glob("0*.png"))
        assert written == ["0000-any.png", "0001-any.png"]
        second = [*words, "--classes", "any", "--count", "1", "--first", "1", "--out", str(tmp_path / "second")]
        assert main(second) == 0
        assert [path.name for path in (tmp_path / "second").glob("0*.png")] == ["0001-any.png"]
        assert main([*any_two, "--first", "-1", "--out", str(tmp_path / "none")]) == 2

    def test_the_two_folders_swapped_are_told_apart(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["sample", "--prior", models.tokenizer, "--tokenizer", models.prior, "--out", str(tmp_path / "out")]
        assert main(words) == 2
        assert "is a tokenizer of images, not a prior of images" in capsys.readouterr().err


class TestReconstruct:
    def test_the_validation_images_come_back_beside_their_quality(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        words = ["reconstruct", "--tokenizer", models.tokenizer, "--out", str(out), "--count", "3"]
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(bool(re.match(r"scene-0-0000\d\d  \d+\.\d\d dB", line)) for line in lines) == 3
        assert (out / "comparison.png").exists()

    def test_a_single_image_in_its_own_size(self, models: Models, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        Image.fromarray(generator.integers(0, 256, (21, 30, 3), dtype=np.uint8)).save(tmp_path / "cat 1.png")
        out = tmp_path / "out"
        words = ["reconstruct", "--tokenizer", models.tokenizer, "--input", str(tmp_path / "cat 1.png")]
        assert main([*words, "--out", str(out), "--native"]) == 0
        assert pixels(out / "0000-cat-1.png").shape == (21, 30, 3)
        Image.fromarray(generator.integers(0, 256, (2, 1, 3), dtype=np.uint8)).save(tmp_path / "tiny.png")
        assert main([*words[:-1], str(tmp_path / "tiny.png"), "--out", str(tmp_path / "tiny"), "--native"]) == 0
        assert pixels(tmp_path / "tiny/0000-tiny.png").shape == (2, 1, 3)

    def test_it_reads_what_training_reads(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
        for number, image in enumerate(images):
            folder = tmp_path / f"photos/{'cat' if number % 2 else 'dog'}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
        np.savez(tmp_path / "all.npz", images=images, labels=np.arange(4))
        for number, (place, count) in enumerate((("scenes", 3), (tmp_path / "photos", 3), (tmp_path / "all.npz", 3))):
            words = ["reconstruct", "--tokenizer", models.tokenizer, "--input", str(place), "--count", "3"]
            assert main([*words, "--out", str(tmp_path / f"out{number}")]) == 0
            assert f"{count} images in" in capsys.readouterr().out
        shutil.copytree(tmp_path / "photos", tmp_path / "split/train")
        shutil.copytree(tmp_path / "photos/cat", tmp_path / "split/val/cat")
        words = ["reconstruct", "--tokenizer", models.tokenizer, "--input", str(tmp_path / "split")]
        assert main([*words, "--out", str(tmp_path / "out of val")]) == 0
        assert "2 images in" in capsys.readouterr().out
        (tmp_path / "photos/cat/bad.png").write_bytes(b"meow")
        words = ["reconstruct", "--tokenizer", models.tokenizer, "--input", str(tmp_path / "photos")]
        assert main([*words, "--out", str(tmp_path / "skipped"), "--data.on-error", "skip"]) == 0
        assert len(list((tmp_path / "skipped").glob("*-both.png"))) == 4

    def test_an_image_that_is_none_is_one_line(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "cat.png").write_bytes(b"meow")
        words = ["reconstruct", "--tokenizer", models.tokenizer, "--input", str(tmp_path / "cat.png")]
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert "cat.png" in err
        assert err.count("\n") == 1


class TestInfo:
    def test_it_tells_a_models_kind_and_size(self, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
        for place, load in ((models.tokenizer, Tokenizer), (models.prior, MaskGIT)):
            assert main(["info", place]) == 0
            count = sum(p.numel() for p in load.from_pretrained(place).parameters())
            out = capsys.readouterr().out
            assert place in out
            assert f" {count:,} parameters" in out

    def test_it_tells_a_stores_rows_and_origin(self, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["info", models.tokens]) == 0
        out = capsys.readouterr().out
        assert "token store: 10 train, 5 val; grid 4x4 of 12 codes" in out
        assert Tokenizer.from_pretrained(models.tokenizer).weights_hash() in out

    def test_a_validation_that_was_not_finite_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "run.json").write_text('{"loop": {"steps": 4}}')
        (tmp_path / "log.jsonl").write_text('{"step": 2, "val/pq": null, "val/psnr": 20.5}\n')
        assert main(["info", str(tmp_path)]) == 0
        assert "last validation: pq not a number  psnr 20.5" in capsys.readouterr().out

    def test_a_folder_of_something_else_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["info", str(tmp_path)]) == 2
        assert "is no model, training run or token store" in capsys.readouterr().err


class TestTrain:
    def test_a_run_names_its_next_step_and_can_be_told_of(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "prior"
        words = ["train", "prior", "scenes_smoke", "--tokens", models.tokens, "--out", str(out)]
        small = ["--model.width", "16", "--model.depth", "1", "--loop.steps", "2", "--loop.precision", "fp32"]
        assert main([*words, *small]) == 0
        assert f"next: gridcode sample --prior {out} --tokenizer TOKENIZER" in capsys.readouterr().out
        assert main(["info", str(out)]) == 0
        assert "training run: step 2 of 2, finished" in capsys.readouterr().out
        assert main([*words, *small]) == 2
        assert "is not empty; set --force to replace it, or --resume" in capsys.readouterr().err
        assert main([*words, *small, "--optim.lr", "0.5", "--resume"]) == 2
        assert "was trained with --optim.lr 0.001, now 0.5" in capsys.readouterr().err

    @pytest.mark.parametrize("name", QUANTIZERS)
    def test_a_dry_run_takes_any_quantizer(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "tokenizer", "scenes_smoke", "--quantizer", name, "--dry-run"]) == 0
        out = capsys.readouterr().out
        quantizer = make_quantizer(FSQConfig((8, 6, 5)) if name == "fsq" else QUANTIZERS[name]())
        assert f"quantizer    {json.dumps(quantizer.spec())}\n" in out
        grid = (8, 8, *quantizer.index_shape)
        sides = " x ".join(str(side) for side in grid)
        assert f"token grid   {sides} = {prod(grid)} tokens of {quantizer.codebook_size:,} codes" in out
        rate = prod(grid) * log2(quantizer.codebook_size) / 32**2
        assert f"rate         {rate:.3f} bits per pixel" in out
        book = 1024 * 64 if name == "vq" else 0
        assert re.search(rf"^  quantizer +{book:,}$", out, re.MULTILINE)

    def test_the_same_kind_keeps_the_recipes_settings(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["train", "tokenizer", "scenes_smoke", "--quantizer", "fsq", "--dry-run"]
        for repeated in (words, [*words[:3], "--quantizer", "lfq", *words[3:]]):
            assert main(repeated) == 0
            assert '"levels": [8, 6, 5]' in capsys.readouterr().out
        # Of two, the last one counts, and either way of writing it.
        assert main([*words, "--quantizer=lfq", "--model.quantizer.bits", "7"]) == 0
        assert '{"name": "lfq", "bits": 7,' in capsys.readouterr().out

    def test_any_quantizer_is_told_of_with_all_its_settings(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = VQConfig("uvim", size=12, channels=4)
        tokenizer = Tokenizer(TokenizerConfig(quantizer=config, widths=(8, 8), encoder_blocks=1, decoder_blocks=1))
        tokenizer.save_pretrained(tmp_path)
        assert main(["info", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        learned = sum(p.numel() for p in tokenizer.parameters()) + 12 * 4
        assert f" {learned:,} parameters" in out, "UViM's codebook is no parameter of PyTorch's, but learned"
        assert f"quantizer: {json.dumps(tokenizer.quantizer.spec())}" in out
        card = (tmp_path / "README.md").read_text()
        assert "vector quantization (arXiv 1711.00937)" in card
        assert "update Discounted (decay 0.995, commitment 0.0)" in card
        assert f"| parameters | {learned:,} |" in card

    def test_a_dry_run_tells_the_cost_and_writes_nothing(
        self, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "run"
        words = ["--out", str(out), "--dry-run"]
        assert main(["train", "tokenizer", "scenes_smoke", *words]) == 0
        first = capsys.readouterr().out
        assert main(["train", "prior", "scenes_smoke", "--tokens", models.tokens, *words]) == 0
        second = capsys.readouterr().out
        for text in (first, second):
            assert re.search(r"^  all +[\d,]+$", text, re.MULTILINE)
            assert "GiB in training" in text
        assert "8 x 8 = 64 tokens of 240 codes" in first
        assert "4 x 4 = 16 tokens of 12 codes" in second
        assert not out.exists()
        assert names(tmp_path) == []


ODD = (
    b"caf\xe9 1.png",
    b"new\nline.png",
    b"d" * 251 + b".png",
    b"--out.png",
    b"%s.png",
    b"a\\b.png",
    "😀.png".encode(),
)


def odd_images(folder: Path) -> list[str]:
    """Images whose names are of every kind, in a folder whose own is not UTF-8; their keys."""
    folder.mkdir(parents=True)
    for number, name in enumerate((*ODD, *(f"{number}.png".encode() for number in range(36)))):
        Image.new("RGB", (16, 16), (5 * number, 0, 0)).save(folder / os.fsdecode(name), "png")
    return [printable(os.fsdecode(name)) for name in ODD]


def test_odd_names_are_read_by_every_verb(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / os.fsdecode(b"\xff %s~") / "only"
    keys, tokenizer = odd_images(folder), ["--tokenizer", models.tokenizer]
    data = ["--data.source", "~/" + os.fsdecode(b"\xff %s~")]
    tokens = str(tmp_path / "tokens")
    assert main(["tokenize", *tokenizer, "--out", tokens, *data]) == 0
    store = TokenStore.open(tokens)
    assert {f"only/{key}" for key in keys} < {key for split in store.splits for key in store.load(split).keys}
    assert "labels: none, for 'only' is the only class" in capsys.readouterr().err
    assert main(["eval", *tokenizer, "--out", str(tmp_path / "report"), *data]) == 0
    assert json.loads((tmp_path / "report/report.json").read_text())
    reconstruct = ["reconstruct", *tokenizer, "--count", "99", "--input", str(folder)]
    assert main([*reconstruct, "--out", str(tmp_path / "all")]) == 0
    assert len(names(tmp_path / "all")) == 2 * 43 + 1
    reconstruct[-1] = str(folder / os.fsdecode(ODD[0]))
    assert main([*reconstruct, "--out", str(tmp_path / "one")]) == 0
    assert "caf\\xe9 1.png  " in capsys.readouterr().out
    tiny = "--data.size 16 --loop.steps 1 --loop.batch-size 2 --data.workers 0 --out"
    train = ["train", "tokenizer", "scenes_laptop", *tiny.split()]
    assert main([*train, str(tmp_path / "run"), *data]) == 0
    assert main([*train, str(tmp_path / os.fsdecode(b"r\xe9")), *data]) == 2
    assert "r\\xe9: what gridcode writes needs a folder whose name is UTF-8" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name or path.name.endswith(".tmp")]


def test_the_terminal_shows_names_that_it_lacks(models: Models, tmp_path: Path) -> None:
    odd_images(tmp_path / os.fsdecode(b"\xff"))
    words = ["info", str(tmp_path / os.fsdecode(b"\xff"))]
    code = "import sys; from gridcode.cli.main import main; print(main(sys.argv[1:])); print(sys.argv[2])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    shown = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, env=environment, check=True)
    assert shown.stdout.splitlines()[0] == b"2"
    assert shown.stdout.splitlines()[1].endswith(b"\\udcff")
