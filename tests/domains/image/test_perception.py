"""Where a run's perceptual network comes from: trained with the run, kept in its folder, taken from there again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gridcode.data.adapter import TorchDataset
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.open import open_split
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import LossConfig, PerceptualConfig, TokenizerRun
from gridcode.domains.image.loss import FOLDER, perceptual_loss
from gridcode.errors import GridcodeError
from gridcode.features.efficientnet import load_efficientnet_lite
from gridcode.features.observer import load_observer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig
from gridcode.training.fabric import make_fabric
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions

SELF_MADE = PerceptualConfig(kind="self", widths=(8, 8), steps=3, batch_size=8)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=32, val_count=8, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=TokenizerConfig(widths=(8, 8), encoder_blocks=1, decoder_blocks=1),
    loss=LossConfig(perceptual=SELF_MADE),
    loop=LoopConfig(steps=2, batch_size=8, log_every=1, accelerator="cpu", precision="fp32"),
)


def made(run: TokenizerRun, out: Path, *, resume: bool = False) -> bytes:
    """The observer's bytes after a run's start."""
    options = RunOptions(out, resume=resume, show=False)
    perceptual_loss(run, open_split(run.data, "train"), options, fabric=make_fabric(run.loop))
    return (out / FOLDER / "model.safetensors").read_bytes()


def test_it_learns_the_classes_of_labelled_images_and_is_made_once(tmp_path: Path) -> None:
    first = made(RUN, tmp_path / "a")
    observer = load_observer(tmp_path / "a" / FOLDER)
    assert not observer.config.rotations
    assert observer.config.targets == len(open_split(RUN.data, "train").classes)
    assert made(RUN, tmp_path / "b") == first, "the same settings make the same network"
    other = replace(RUN, loop=replace(RUN.loop, seed=1))
    assert made(other, tmp_path / "c") != first
    # A resumed run takes what lies there, whatever it is.
    shutil.copytree(tmp_path / "c" / FOLDER, tmp_path / "a" / FOLDER, dirs_exist_ok=True)
    assert made(RUN, tmp_path / "a", resume=True) == made(other, tmp_path / "c", resume=True)


def test_it_learns_rotations_where_there_are_no_labels(tmp_path: Path) -> None:
    pictures = TorchDataset(list(torch.rand(12, 3, 16, 16)), name="plain")  # type: ignore[arg-type]
    perceptual_loss(RUN, pictures, RunOptions(tmp_path, show=False), fabric=make_fabric(RUN.loop))
    config = load_observer(tmp_path / FOLDER).config
    assert (config.rotations, config.targets) == (True, 4)


def test_its_term_is_part_of_the_loss(tmp_path: Path) -> None:
    train_tokenizer(RUN, RunOptions(tmp_path, show=False))
    lines = [line for line in read_log(tmp_path) if "train/loss" in line]
    assert len(lines) == 2
    for line in lines:
        assert line["train/perceptual"] > 0
        assert line["train/loss"] == pytest.approx(line["train/l2"] + line["train/perceptual"], rel=1e-5)


def test_lpips_without_its_files_ends_before_the_first_step(tmp_path: Path) -> None:
    run = replace(RUN, loss=LossConfig(perceptual=PerceptualConfig(kind="lpips")))
    with pytest.raises(GridcodeError, match=r"needs its weights: give loss.perceptual.vgg and"):
        train_tokenizer(run, RunOptions(tmp_path / "run", show=False))
    assert not (tmp_path / "run").exists()
    absent = PerceptualConfig(kind="lpips", vgg=str(tmp_path / "vgg.pth"), heads=str(tmp_path / "heads.pth"))
    with pytest.raises(GridcodeError, match=r"there is no file of weights .*vgg\.pth"):
        train_tokenizer(replace(RUN, loss=LossConfig(perceptual=absent)), RunOptions(tmp_path / "run", show=False))


def test_a_resumed_run_without_its_network_makes_the_same_again(tmp_path: Path) -> None:
    first = made(RUN, tmp_path)
    shutil.rmtree(tmp_path / FOLDER)
    assert made(RUN, tmp_path, resume=True) == first


def test_efficientnet_is_taken_as_its_package_has_it(tmp_path: Path) -> None:
    run = replace(RUN, loss=LossConfig(perceptual=PerceptualConfig(kind="lite0")))
    train_tokenizer(run, RunOptions(tmp_path, show=False))
    assert not (tmp_path / FOLDER).exists(), "nothing is trained"
    loss = perceptual_loss(run, open_split(RUN.data, "train"), RunOptions(tmp_path), fabric=make_fabric(RUN.loop))
    network = load_efficientnet_lite("lite0")
    x, y = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    expected = 0.1 * network.distance(x, y).mean()
    torch.testing.assert_close(loss(x, y)["perceptual"], expected)
    for line in read_log(tmp_path):
        if "train/loss" in line:
            assert line["train/loss"] == pytest.approx(line["train/l2"] + line["train/perceptual"], rel=1e-5)
