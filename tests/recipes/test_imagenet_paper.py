"""The paper's own settings: every figure of its sections, its parameter counts, and two steps at the smallest size."""

from __future__ import annotations

import re
from dataclasses import replace
from math import isinf
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gridcode.cli.main import main
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.open import open_split
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.features.vgg import VGG16, WIDTHS
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.train import train_prior
from gridcode.quantize.config import FSQConfig
from gridcode.recipes import image_recipe
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig
from gridcode.training.log import read_log
from gridcode.training.optim import learning_rate, make_optimizer
from gridcode.training.run import RunOptions

BOTH = pytest.mark.parametrize("name", ["imagenet128_paper", "imagenet256_paper"])
LENGTHS = {  # size, Stage I steps and batch, Stage II steps and batch
    "imagenet128_paper": (128, 500_000, 256, 1_000_000, 256),
    "imagenet256_paper": (256, 1_000_000, 512, 2_500_000, 256),
}


@BOTH
def test_stage_one_is_the_papers(name: str) -> None:
    run = image_recipe(name).tokenizer
    assert run.model == TokenizerConfig.maskgit(FSQConfig((8, 5, 5, 5)))
    assert (run.data.size, run.loop.steps, run.loop.batch_size) == LENGTHS[name][:3]
    loss, judge = run.loss, run.loss.adversarial
    assert (loss.l2, loss.l1, loss.perceptual.kind, loss.perceptual.weight) == (1.0, 0.0, "lpips", 0.1)
    assert (judge.kind, judge.weight, judge.start, judge.width, judge.patch) == ("non-saturating", 0.1, 0, 512, 1)
    assert (judge.lr, judge.betas, judge.r1, judge.r1_every, judge.clip) == (1e-4, (0.0, 0.99), 10.0, 1, 0.0)
    assert (run.optim.betas, run.optim.ema) == ((0.0, 0.99), 0.999)
    for step in (0, 1, run.loop.steps // 2, run.loop.steps - 1):
        assert learning_rate(step, steps=run.loop.steps, config=run.optim) == pytest.approx(1e-4)


@BOTH
def test_stage_two_is_the_papers(name: str) -> None:
    settings = image_recipe(name)
    run = settings.prior
    assert run.model == MaskGITConfig(style="maskgit", width=768, depth=24, heads=16, mlp=3072, dropout=0.1)
    assert (run.loop.steps, run.loop.batch_size) == LENGTHS[name][3:]
    assert (run.masking.min_masked, run.masking.label_dropout, run.masking.label_smoothing) == (0.45, 0.1, 0.1)
    assert (run.optim.betas, run.optim.weight_decay, run.optim.clip) == ((0.9, 0.96), 0.045, 0.0)
    rates = [learning_rate(step, steps=run.loop.steps, config=run.optim) for step in (0, 2499, 4999, 10**6 - 1)]
    assert rates == pytest.approx([1e-4 / 5000, 5e-5, 1e-4, 1e-4])
    sampler = settings.evaluation.sampler
    assert (sampler.sampler, sampler.steps, sampler.choice_temperature) == ("confidence", 12, 4.5)
    assert (settings.evaluation.guidance, settings.evaluation.samples) == (0.2, 50_000)


def test_its_first_optimiser_is_adam_without_clipping() -> None:
    config = image_recipe("imagenet256_paper").tokenizer.optim
    assert isinf(config.clip or float("inf"))
    ours, theirs = nn.Linear(5, 4), nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    optimizers = make_optimizer(ours, config), torch.optim.Adam(theirs.parameters(), lr=1e-4, betas=(0.0, 0.99))
    for seed in range(20):
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-8)


def transformer(vocabulary: int, tokens: int) -> int:
    """BERT's weights by hand: width 768, 24 layers, MLP 3072, class token, tied output with a bias."""
    D, M, norm = 768, 3072, 2 * 768
    layer = 4 * (D * D + D) + norm + D * M + M + M * D + D + norm
    return vocabulary * D + (tokens + 1) * D + norm + 24 * layer + D * D + D + norm + vocabulary


def test_a_dry_run_prints_the_papers_parameter_counts(capsys: pytest.CaptureFixture[str]) -> None:
    # The lpips loss has no weights here: a dry run does without.
    assert main(["train", "tokenizer", "imagenet256_paper", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "  all              52,962,951\n" in out
    assert "token grid   16 x 16 = 256 tokens of 1,000 codes" in out
    # MaskGIT's widths from 256 to 4 pixels, by hand; a halving has two 3x3 convolutions and a 1x1 without bias.
    halved = [(64, 128), (128, 256), (256, 512), (512, 512), (512, 512), (512, 512)]
    games = 3 * 64 * 9 + 64 + sum(a * a * 9 + a + a * b * 9 + b + a * b for a, b in halved)
    games += 512 * 512 * 9 + 512 + 512 * 16 * 512 + 512 + 512 + 1
    assert f"VGG-16 and a discriminator of {games:,} parameters, and torch itself" in out
    vq = ["--quantizer", "vq", "--model.quantizer.channels", "256"]
    assert main(["train", "tokenizer", "imagenet256_paper", *vq, "--dry-run"]) == 0
    assert "  all              54,515,587\n" in capsys.readouterr().out
    assert main(["train", "prior", "imagenet256_paper", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"  all             {transformer(1000 + 1000 + 1, 256):,}\n" in out
    assert "classes      1000\n" in out
    memory = [float(found) for found in re.findall(r"([\d.]+) activations", out)]
    assert (
        main(["train", "prior", "imagenet256_paper", "--loop.devices", "8", "--loop.accumulate", "2", "--dry-run"]) == 0
    )
    shared = [float(found) for found in re.findall(r"([\d.]+) activations", capsys.readouterr().out)]
    assert shared == [pytest.approx(memory[0] / 16, abs=0.01)]
    assert f"{transformer(1024 + 1000 + 1, 256) / 1e6:.2f}" == "172.46", "the paper's, with VQ's 1024 codes"


@BOTH
def test_a_run_without_lpips_weights_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(GridcodeError, match=r"needs its weights: give loss\.perceptual\.vgg") as caught:
        train_tokenizer(image_recipe(name).tokenizer, RunOptions(tmp_path / "out", show=False))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_both_stages_take_their_steps_at_the_smallest_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(VGG16().state_dict(), tmp_path / "vgg.safetensors")
    heads = {f"lin{number}.model.1.weight": torch.ones(1, width, 1, 1) for number, width in enumerate(WIDTHS)}
    save_file(heads, tmp_path / "heads.safetensors")
    settings = image_recipe("imagenet128_paper")
    run = settings.tokenizer
    perceptual = replace(
        run.loss.perceptual, vgg=str(tmp_path / "vgg.safetensors"), heads=str(tmp_path / "heads.safetensors")
    )
    loop = LoopConfig(steps=2, batch_size=4, log_every=1, val_every=2, val_count=4, checkpoint_every=2)
    loop = replace(loop, accelerator="cpu", precision="fp32")
    run = replace(
        run,
        data=DataConfig(size=32, train_count=8, val_count=4, workers=0, crop=CropPolicy(train="center", flip=True)),
        model=replace(run.model, widths=(8, 8, 16, 16, 24)),
        loss=replace(run.loss, perceptual=perceptual, adversarial=replace(run.loss.adversarial, width=8)),
        loop=loop,
    )
    tokenizer = train_tokenizer(run, RunOptions(tmp_path / "tokenizer", show=False))
    assert tokenizer.token_grid(32, 32) == (2, 2)
    seen = next(line for line in read_log(tmp_path / "tokenizer") if line["step"] == 2)
    terms = sum(seen[f"train/{term}"] for term in ("l2", "perceptual", "adversarial"))
    assert seen["train/loss"] == pytest.approx(terms, rel=1e-5)
    assert min(seen[f"train/{name}"] for name in ("perceptual", "adversarial", "discriminator", "r1")) > 0

    splits = {split: open_split(run.data, split) for split in ("train", "val")}
    store = tokenize(tokenizer, splits, run.data, StoreOptions(tmp_path / "tokens", flips=settings.flips))
    second = replace(settings.prior, model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32), loop=loop)
    prior = train_prior(second, store, RunOptions(tmp_path / "prior", show=False))
    assert (prior.space.codebook_size, prior.space.grid) == (1000, (2, 2))
    lines = [line for line in read_log(tmp_path / "prior") if "train/loss" in line]
    assert [line["step"] for line in lines] == [1, 2]
