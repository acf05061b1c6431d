"""Every kind of quantizer goes through Stage I: it trains, resumes, is saved, and fills the grid that it promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.domains.image import loss as module
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, TokenizerRun
from gridcode.domains.image.evaluate import Subject, evaluate
from gridcode.domains.image.loss import PixelLoss
from gridcode.domains.image.report import image_findings
from gridcode.errors import GridcodeError
from gridcode.evaluation.publish import Runs, publish
from gridcode.prior.config import MaskGITConfig, PriorRun
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.train import train_prior
from gridcode.quantize.config import (
    BSQConfig,
    FSQConfig,
    GroupedFSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualFSQConfig,
    VQConfig,
)
from gridcode.tasks.generate import Generator
from gridcode.tasks.tokenize import StoreOptions, tokenize
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions
from gridcode.training.state import checkpoints

LOOP = LoopConfig(
    steps=4, batch_size=8, log_every=2, val_every=4, checkpoint_every=2, accelerator="cpu", precision="fp32"
)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=32, val_count=12, workers=0, crop=CropPolicy(train="center", flip=False)),
    model=TokenizerConfig(widths=(8, 8), encoder_blocks=1, decoder_blocks=1, patch=2),
    optim=OptimConfig(lr=5e-3, warmup=2, ema=0.9),
    loop=LOOP,
)
KINDS: dict[str, QuantizerConfig] = {
    "fsq": FSQConfig((5, 4)),
    "dithered": FSQConfig((5, 4), form="dithered"),
    "residual": ResidualFSQConfig((5, 3), stages=3),
    "stage dropout": ResidualFSQConfig((5, 3), stages=3, stage_dropout=0.7),
    "grouped": GroupedFSQConfig((4, 3), groups=2),
    "lfq": LFQConfig(5),
    "bsq": BSQConfig(5),
    "maskgit": VQConfig("maskgit", size=12, channels=4),
    "uvim": VQConfig("uvim", size=12, channels=4),
    "plain": VQConfig("plain", size=12, channels=4),
}
EVERY = pytest.mark.parametrize("kind", KINDS)
SEVERAL = pytest.mark.parametrize("kind", ["residual", "grouped"])


@pytest.fixture(scope="module")
def scenes() -> Sources:
    return Sources(open_split(RUN.data, "train"), open_split(RUN.data, "val"))


def with_kind(kind: str, **changes: Any) -> TokenizerRun:
    return replace(RUN, model=replace(RUN.model, quantizer=KINDS[kind]), **changes)


def quiet(out: Path, **settings: bool) -> RunOptions:
    return RunOptions(out, show=False, **settings)


@EVERY
def test_it_trains_and_is_saved_whole(kind: str, tmp_path: Path, scenes: Sources) -> None:
    run = with_kind(kind)
    tokenizer = train_tokenizer(run, quiet(tmp_path), sources=scenes)
    assert tokenizer.config == run.model
    images = next(eval_batches(scenes.val, run.data, batch_size=12)).images
    indices = tokenizer.encode(images)
    assert indices.shape == (12, *tokenizer.token_grid(16, 16)) == (12, 4, 4, *tokenizer.quantizer.index_shape)
    assert 0 <= int(indices.min()) <= int(indices.max()) < tokenizer.codebook_size
    # What training counted was what the data showed; dropped stages are not tokens.
    measured = tokenizer.domain.measure(tokenizer, eval_batches(scenes.val, run.data, batch_size=5))
    scores, usage = measured.scores, measured.usage
    assert usage.pooled.count == indices.numel()
    assert usage.pooled.used == len(indices.unique())
    assert len(usage.codebooks) == max(1, *tokenizer.quantizer.index_shape, 0)
    assert [f"usage_book_{n}" in scores for n in (1, 2)] == [len(usage.codebooks) > 1] * 2
    state = load_file(checkpoints(tmp_path)[-1] / "state.safetensors")
    saved = load_file(tmp_path / "last" / "model.safetensors")
    for name, _ in tokenizer.quantizer.named_buffers():
        # A codebook that statistics move is itself an average: the moving average of the weights takes it as it is.
        assert torch.equal(saved[f"quantizer.{name}"], state[f"model/quantizer.{name}"])
    assert json.loads((tmp_path / "run.json").read_text())["model"]["quantizer"]["name"] == KINDS[kind].name
    assert KINDS[kind].name in (tmp_path / "last" / "README.md").read_text()


@EVERY
def test_only_a_loss_that_is_there_is_logged(kind: str, tmp_path: Path, scenes: Sources) -> None:
    train_tokenizer(with_kind(kind, loop=replace(LOOP, steps=2, val_every=2)), quiet(tmp_path), sources=scenes)
    (line,) = (line for line in read_log(tmp_path) if "train/loss" in line)
    logged = line.get("train/quantizer", 0.0)
    assert (logged != 0) == (kind in ("lfq", "bsq", "maskgit", "plain"))


@pytest.mark.parametrize(
    ("kind", "dropout"),
    [("dithered", 0.0), ("stage dropout", 0.0), ("maskgit", 0.0), ("uvim", 0.0), ("fsq", 0.5), ("uvim", 0.5)],
)
def test_an_interrupted_run_goes_on_bit_for_bit(
    kind: str, dropout: float, tmp_path: Path, scenes: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Breaking(PixelLoss):
        def __call__(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
            calls.append(1)
            if len(calls) == 4:
                raise GridcodeError("pulled the plug")
            return super().__call__(*tensors)

    run = with_kind(kind, quantizer_dropout=dropout)
    monkeypatch.setattr(module, "PixelLoss", Breaking)
    with pytest.raises(GridcodeError, match="pulled the plug"):
        train_tokenizer(run, quiet(tmp_path / "run"), sources=scenes)
    monkeypatch.undo()
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["step-00000002"]
    train_tokenizer(run, quiet(tmp_path / "run", resume=True), sources=scenes)
    train_tokenizer(run, quiet(tmp_path / "straight"), sources=scenes)
    for file in ("last/model.safetensors", "state/step-00000004/state.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "straight" / file).read_bytes()


def test_another_quantizer_cannot_resume(tmp_path: Path, scenes: Sources) -> None:
    train_tokenizer(with_kind("lfq"), quiet(tmp_path), sources=scenes)
    with pytest.raises(GridcodeError, match=r"trained with model\.quantizer\.name='lfq', now 'bsq'"):
        train_tokenizer(with_kind("bsq"), quiet(tmp_path, resume=True), sources=scenes)


def test_quantizer_dropout_changes_training_and_nothing_else(tmp_path: Path, scenes: Sources) -> None:
    for rate in (0.0, 1.0):
        run = with_kind("fsq", quantizer_dropout=rate)
        train_tokenizer(run, quiet(tmp_path / str(rate)), sources=scenes)
    zero, one = (Tokenizer.from_pretrained(tmp_path / str(rate)) for rate in (0.0, 1.0))
    assert zero.weights_hash() != one.weights_hash()
    assert zero.config == one.config
    with pytest.raises(GridcodeError, match=r"quantizer_dropout must be in \[0, 1\], got -0.1"):
        replace(RUN, quantizer_dropout=-0.1)


def test_weight_decay_spares_the_book(tmp_path: Path, scenes: Sources) -> None:
    tokenizer = train_tokenizer(with_kind("plain"), quiet(tmp_path), sources=scenes)
    state = json.loads((checkpoints(tmp_path)[-1] / "state.json").read_text())
    decayed = [p for name, p in tokenizer.named_parameters() if p.ndim >= 2 and name != "quantizer.codebook"]
    assert len(state["groups"][0]["params"]) == len(decayed)
    assert "quantizer.codebook" in dict(tokenizer.named_parameters())


@pytest.mark.parametrize("kind", ["stage dropout", "uvim", "maskgit"])
def test_encoding_learns_and_drops_nothing_whatever_the_mode(kind: str) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(with_kind(kind).model).train()
    before = tokenizer.weights_hash()
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    indices = tokenizer.encode(images)
    assert tokenizer.quantizer.training
    assert tokenizer.weights_hash() == before
    assert int(indices.min()) >= 0
    assert torch.equal(indices, tokenizer.eval().encode(images))


def test_settings_that_no_weight_shows_are_compared_too(tmp_path: Path) -> None:
    Tokenizer(with_kind("maskgit").model).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["quantizer"]["preset"] = "plain"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(GridcodeError, match=r"names the quantizer .*EntropyLoss.*, this gridcode makes .*Nothing"):
        Tokenizer.from_pretrained(tmp_path)


@SEVERAL
def test_indices_of_another_rank_are_one_line(kind: str) -> None:
    tokenizer = Tokenizer(with_kind(kind).model).eval()
    count = tokenizer.quantizer.index_shape[0]
    with pytest.raises(GridcodeError, match=rf"decodes indices \(B, h, w, {count}\), got shape \(2, 4, 4\)"):
        tokenizer.decode(torch.zeros(2, 4, 4, dtype=torch.int64))
    with pytest.raises(GridcodeError, match=r"decodes indices \(B, h, w\), got shape \(2, 4, 4, 2\)"):
        Tokenizer(with_kind("fsq").model).decode(torch.zeros(2, 4, 4, 2, dtype=torch.int64))


def test_the_first_stages_alone_are_a_coarser_image() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(with_kind("residual").model).eval()
    indices = tokenizer.encode(torch.rand(2, 3, 16, 16) * 2 - 1)
    assert tokenizer.decode(indices[..., :1]).shape == tokenizer.decode(indices).shape


@pytest.mark.parametrize("kind", ["residual", "grouped", "maskgit", "lfq"])
def test_the_whole_line_from_images_to_new_images(kind: str, tmp_path: Path, scenes: Sources) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(with_kind(kind).model).eval()
    tokenizer.info = {"data": {"size": 16}, "dataset": "scenes"}
    grid = tokenizer.token_grid(16, 16)
    splits = {"train": scenes.train, "val": scenes.val}
    store = tokenize(tokenizer, splits, RUN.data, StoreOptions(tmp_path / "tokens", flips=True))
    assert store.manifest.grid == grid
    assert store.manifest.quantizer == tokenizer.quantizer.spec()
    images = torch.cat([batch.images for batch in eval_batches(scenes.val, RUN.data, batch_size=5)])
    assert torch.equal(store.load("val").tokens.view(-1, *grid), tokenizer.encode(images))

    run = PriorRun(model=MaskGITConfig(width=16, depth=1, heads=2, mlp=32, dropout=0.0), loop=replace(LOOP, steps=2))
    prior = train_prior(run, store, quiet(tmp_path / "prior"))
    assert prior.space.grid == grid
    generator = Generator(prior, tokenizer)
    assert generator.sample_tokens([0, 1], sampler=SamplerConfig(steps=2)).shape == (2, *grid)
    assert generator.sample([0, -1], steps=2).shape == (2, 3, 16, 16)

    subject = Subject(tokenizer, generator, RUN.data, scenes.train, scenes.val)
    settings = EvaluationConfig(count=12, samples=10, sampler=SamplerConfig(steps=2), batch_size=5, classifier_steps=1)
    measured = evaluate(subject, settings, say=lambda text: None)
    figures = measured.figures()
    books = len(measured.reconstruction.tokens.codebooks)
    assert sum(name.startswith("usage_book_") for name in figures) == (books if books > 1 else 0)
    page = publish(image_findings(measured, subject, settings), Runs(), out=tmp_path, command="test").read_text()
    assert ("usage of codebook 2" in page) == (books > 1)
    assert ("Digits of the code" in page) == (kind != "maskgit"), "a codebook without structure has no digits to show"
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["settings"]["tokenizer"]["quantizer"]["name"] == KINDS[kind].name
