"""Sounds through every verb at smoke size, and what tokenizers of sounds refuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from gridcode.cli.main import main
from gridcode.domains.audio.architectures import WaveformConfig
from gridcode.domains.audio.config import AudioAdversarialConfig, AudioConfig, AudioLossConfig, AudioTokenizerRun
from gridcode.domains.audio.data.decode import write
from gridcode.domains.audio.domain import AudioDomain, data_of
from gridcode.domains.audio.recipes import AUDIO_RECIPES
from gridcode.errors import GridcodeError
from gridcode.quantize.config import ResidualFSQConfig
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.log import read_log

SHORT = ["--loop.steps", "2", "--loop.log-every", "1", "--loop.val-every", "2", "--loop.checkpoint-every", "2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of tones, and both stages on them through the command line."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        place = folder / "data" / ("train" if number < 8 else "test") / f"tone{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        time = np.arange(1500 + 100 * number) / 8000
        write(
            place / f"{number}.wav",
            (0.4 * np.sin(2 * np.pi * (300 + 400 * (number % 2)) * time)).astype(np.float32),
            8000,
        )
    here = ["--data.source", str(folder / "data")]
    assert main(["train", "tokenizer", "fsdd_smoke", *here, *SHORT, "--out", str(folder / "tokenizer")]) == 0
    assert main(["tokenize", "--tokenizer", str(folder / "tokenizer"), "--out", str(folder / "tokens")]) == 0
    for prior in ("maskgit", "ar"):
        words = ["--tokens", str(folder / "tokens"), "--prior", prior, "--out", str(folder / prior), *SHORT]
        assert main(["train", "prior", "fsdd_smoke", *words]) == 0
    return folder


def test_a_run_leaves_a_model_its_card_images_and_tokens(runs: Path) -> None:
    card = (runs / "tokenizer/best/README.md").read_text()
    assert "| bit rate | 1,500 bits per second |" in card
    with Image.open(runs / "tokenizer/images/step-00000002.png") as strip:
        assert strip.size == (4 * (2 * 66 + 4) + 4, 2 * (2 * 258 + 4) + 4)
    tokenizer = Tokenizer.from_pretrained(runs / "tokenizer")
    assert isinstance(tokenizer.domain, AudioDomain)
    assert data_of(tokenizer).samples == 2048
    manifest = json.loads((runs / "tokens/manifest.json").read_text())
    assert (manifest["grid"], manifest["classes"]) == ([1, 32], ["tone0", "tone1"])


def test_a_discriminator_joins_at_its_start(runs: Path, tmp_path: Path) -> None:
    game = ["--loss.adversarial.kind", "hinge", "--loss.adversarial.width", "2", "--loss.adversarial.start", "1"]
    words = [*game, "--loss.adversarial.windows", "64", "128", "--data.source", str(runs / "data"), *SHORT]
    assert main(["train", "tokenizer", "fsdd_smoke", *words, "--out", str(tmp_path / "run")]) == 0
    lines = [line for line in read_log(tmp_path / "run") if "train/loss" in line]
    for term in ("adversarial", "features", "discriminator", "real_score", "fake_score"):
        assert [f"train/{term}" in line for line in lines] == [False, True]
    terms = ("l1", "stft", "mel", "adversarial", "features")
    assert lines[1]["train/loss"] == pytest.approx(sum(lines[1][f"train/{term}"] for term in terms), rel=1e-4)


@pytest.mark.parametrize("prior", ["maskgit", "ar"])
def test_sample_writes_flac_files_and_their_spectrograms(runs: Path, prior: str, capsys) -> None:
    out = runs / f"samples-{prior}"
    models = ["--prior", str(runs / prior), "--tokenizer", str(runs / "tokenizer")]
    assert (
        main(["sample", *models, "--out", str(out), "--count", "1", "--steps", "2", "--classes", "tone1", "any"]) == 0
    )
    assert "2 sounds in" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["0000-tone1.flac", "0001-any.flac", "samples.png"]
    samples, rate = soundfile.read(out / "0000-tone1.flac")
    assert (samples.shape, rate) == ((2048,), 8000)


def test_reconstruct_keeps_each_length_and_skips_what_is_broken(runs: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/a.flac", np.full(5000, 0.1, np.float32), 8000)
    soundfile.write(tmp_path / "in/b.wav", np.zeros((300, 2)), 16000)
    (tmp_path / "in/c.wav").write_bytes(b"broken")
    words = ["reconstruct", "--tokenizer", str(runs / "tokenizer"), "--input", str(tmp_path / "in")]
    assert main([*words, "--out", str(tmp_path / "stop")]) == 2
    assert re.fullmatch(r"gridcode reconstruct: .*c\.wav: not a readable sound file .*\n", capsys.readouterr().err)
    assert main([*words, "--out", str(tmp_path / "skip"), "--data.on-error", "skip", "--format", "wav"]) == 0
    assert {path.name for path in (tmp_path / "skip").iterdir()} == {"0000-a.wav", "0001-b.wav", "comparison.png"}
    assert [soundfile.info(tmp_path / "skip" / name).frames for name in ("0000-a.wav", "0001-b.wav")] == [5000, 150]


def test_compress_and_decompress_sounds_and_folders_of_them(runs: Path, tmp_path: Path, capsys) -> None:
    model, sounds = tmp_path / "model", tmp_path / "in"
    shutil.copytree(runs / "tokenizer/best", model / "tokenizer")
    shutil.copytree(runs / "ar/best", model / "prior")
    (sounds / "sub").mkdir(parents=True)
    write(sounds / "a.flac", np.full(2500, 0.1, np.float32), 8000)
    soundfile.write(sounds / "sub/b.wav", np.zeros((300, 2)), 16000)
    here = ["--model", str(model)]
    assert main(["compress", str(sounds), *here, "--out", str(tmp_path / "gc")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".*a\.flac\.gc: \d+ bytes, [\d,]+ bits per second", out[0])
    assert out[-1].startswith("all: ")
    assert main(["info", str(tmp_path / "gc/a.flac.gc")]) == 0
    out = capsys.readouterr().out
    assert "sound: 0.31 s, 8,000 samples per second" in out
    assert "coder: prior" in out
    assert main(["decompress", str(tmp_path / "gc"), *here, "--out", str(tmp_path / "back")]) == 0
    assert soundfile.info(tmp_path / "back/a.flac").frames == 2500
    assert soundfile.info(tmp_path / "back/sub/b.wav.flac").frames == 150
    tokenizer = ["--model", str(runs / "tokenizer")]
    assert main(["compress", str(sounds / "a.flac"), *tokenizer, "--out", str(tmp_path / "c.gc")]) == 0
    capsys.readouterr()
    (sounds / "c.wav").write_bytes(b"broken")
    rates = tmp_path / "rates"
    for name in "ab":
        shutil.copytree(model, rates / name)
    again = ["compress", str(sounds), *tokenizer, "--out", str(tmp_path / "d")]
    assert main(again) == 2
    assert "c.wav: not a readable sound file" in capsys.readouterr().err
    assert main([*again, "--force", "--on-error", "skip"]) == 0
    assert "skipped: " in capsys.readouterr().err
    for words, said in (
        ([*again, "--bpp", "1"], "--bpp and --max-pixels are for images"),
        (["compress", str(tmp_path / "none"), *tokenizer], "no such image or sound"),
        (["compress", str(tmp_path / "model"), *tokenizer, "--out", "x"], "not a folder of sounds"),
        ([*again, "--max-pixels", "5"], "--max-pixels are for images"),
        (["compress", str(sounds / "a.flac"), "--model", str(rates)], "a model of sounds has one rate; give one of"),
        (["decompress", str(tmp_path / "c.gc"), *here, "--out", "x.ogg"], "x.ogg: sounds are written as .flac or .wav"),
        (["decompress", str(tmp_path / "c.gc"), *here, "--max-pixels", "5"], "--max-pixels is for images"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err


def test_eval_writes_figures_spectrograms_and_players(runs: Path, tmp_path: Path) -> None:
    models = ["--tokenizer", str(runs / "tokenizer/best"), "--prior", str(runs / "maskgit/best")]
    words = ["--samples", "4", "--classifier-steps", "2", "--steps", "2", "--out", str(tmp_path / "report")]
    assert main(["eval", "fsdd_smoke", *models, *words]) == 0
    figures = json.loads((tmp_path / "report/report.json").read_text())["figures"]
    assert figures["bits_per_second"] == 8000 / 64 * 12
    for name in ("originals", "reconstructions", "samples"):
        assert 0 <= figures[f"classifier_accuracy_on_{name}"] <= 1
    page = (tmp_path / "report/report.html").read_text()
    assert page.count('<audio controls preload="none" src="data:audio/flac;base64,') == 2 * 4 + 4
    assert "media-src data:" in page
    assert "Recognised by a classifier" in page
    words = ["--data.labels", "none", "--count", "2", "--out", str(tmp_path / "plain")]
    assert main(["eval", "fsdd_smoke", *models[:2], *words]) == 0
    assert "Recognised by a classifier" not in (tmp_path / "plain/report.html").read_text()


def test_folders_of_another_kind_are_refused_in_one_line(runs: Path, tmp_path: Path, capsys) -> None:
    tokenizer, tokens = str(runs / "tokenizer"), str(runs / "tokens")
    for words, said in (
        (["edit", "--prior", str(runs / "ar"), "--tokenizer", tokenizer, "--input", "x", "--box", "0", "0", "8", "8"],
         "is a tokenizer of sounds, not a tokenizer of images"),
        (["train", "prior", "scenes_smoke", "--tokens", tokens],
         "holds tokens of sounds, and scenes_smoke is a recipe of images; give one of fsdd_laptop"),
        (["train", "tokenizer", "fsdd_smoke", "--data.source", "/none"], "/none: no such file or folder"),
        (["eval", "fsdd_smoke", "--run", "x", "--tokenizer", tokenizer], "--run is for dense prediction"),
        (["sample", "scenes_smoke", "--prior", str(runs / "ar"), "--tokenizer", tokenizer],
         "is a tokenizer of sounds, not a tokenizer of images"),
    ):  # fmt: skip
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("name", AUDIO_RECIPES)
def test_recipes_are_whole_and_keep_the_bit_rate(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", name, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert int(re.search(r"bit rate +([\d,]+) bits", out)[1].replace(",", "")) <= 1500
    assert main(["train", "prior", name, "--dry-run"]) == 0
    assert "tokens of 4,096 codes" in capsys.readouterr().out


def test_another_architecture_keeps_the_quantizer(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "train",
        "tokenizer",
        "fsdd_laptop",
        "--architecture",
        "waveform",
        "--model.widths",
        "8",
        "8",
        "8",
        "--dry-run",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert '"name": "waveform"' in out
    assert "96 tokens of 4,096 codes" in out


def test_several_rates_are_prefixes_of_the_stages() -> None:
    torch.manual_seed(0)
    config = WaveformConfig(quantizer=ResidualFSQConfig(levels=(5, 5), stages=3), strides=(4, 2), widths=(6, 8))
    tokenizer = Tokenizer(config, AudioDomain(8000)).eval()
    sounds = torch.rand(2, 1, 512) - 0.5
    indices = tokenizer.encode(sounds)
    assert indices.shape == (2, 1, 64, 3)
    whole = tokenizer.decode(indices)
    away = [(tokenizer.decode(indices[..., :kept]) - whole).abs().mean().item() for kept in (1, 2, 3)]
    assert away[0] > 2 * away[1] > away[2] == 0


@pytest.mark.parametrize(("waveforms", "said"), [
    (torch.zeros(1, 64), r"takes mono waveforms \(B, 1, T\), got shape \(1, 64\)"),
    (torch.zeros(1, 2, 64), "average the channels"),
    (torch.zeros(1, 1, 65), "multiple of 64 samples, got 65"),
    (torch.zeros(1, 1, 64, dtype=torch.int16), "16 bits divide by 32768"),
    (torch.full((1, 1, 64), 2.0), r"must be in \[-1, 1\], got 2 to 2"),
    (torch.full((1, 1, 64), torch.nan), "mend NaN"),
])  # fmt: skip
def test_waveforms_that_do_not_fit_are_refused(waveforms: torch.Tensor, said: str) -> None:
    tokenizer = Tokenizer(WaveformConfig(widths=(2, 2, 2), dilations=()), AudioDomain(8000))
    with pytest.raises(GridcodeError, match=said):
        tokenizer.encode(waveforms)


@pytest.mark.parametrize("make", [
    lambda: AudioConfig(source=""), lambda: AudioConfig(labels="x"), lambda: AudioConfig(on_error="x"),
    lambda: AudioConfig(val_fraction=1.0), lambda: AudioConfig(rate=0),
    lambda: WaveformConfig(strides=(3,), widths=(2,)), lambda: WaveformConfig(strides=(2,)),
    lambda: WaveformConfig(kernel=4), lambda: WaveformConfig(widths=(0, 1, 1)),
    lambda: AudioLossConfig(l1=0, stft=0, mel=0), lambda: AudioLossConfig(mels=(20,)), lambda: AudioLossConfig(floor=0),
    lambda: AudioLossConfig(windows=(10,)), lambda: AudioTokenizerRun(data=AudioConfig(crop=100)),
    lambda: AudioAdversarialConfig(windows=()), lambda: AudioAdversarialConfig(windows=(6,)),
    lambda: AudioAdversarialConfig(width=0), lambda: AudioAdversarialConfig(features=-1.0),
    lambda: AudioTokenizerRun(loss=AudioLossConfig(adversarial=AudioAdversarialConfig("hinge", windows=(8192,)))),
    lambda: AudioTokenizerRun(data=AudioConfig(crop=512)), lambda: AudioTokenizerRun(quantizer_dropout=2.0),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(make) -> None:
    with pytest.raises(GridcodeError, match=r"must|need|is empty|takes|is shorter"):
        make()
